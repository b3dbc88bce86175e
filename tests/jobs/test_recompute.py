"""Units made again equal those of the store; whatever differs is told by how much, and why."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import recompute
from jobs.recompute import sample_ids
from jobs.replay import describe_replay, replay_unit
from jobs.spec_error import SpecError
from jobs.verify import Verification, verify_store
from jobs.verify_report import describe_verification
from pipeline.store import LatentStore
from pipeline.store.schema import content_schema
from pipeline.store.writer import PartWriter
from tests.conftest import write_clips
from tests.jobs.command import latentmill
from tests.jobs.stores import change_tensor, make_mels


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """A source and its store, both to be changed."""
    write_clips(tmp_path / "source", 3)
    make_mels(tmp_path / "source", tmp_path / "store")
    return tmp_path / "source", tmp_path / "store"


def verify(store: Path, fraction: float = 1.0, seed: int = 0) -> Verification:
    return verify_store(str(store), fraction=fraction, seed=seed)


def test_all_units_are_made_again_bit_for_bit(store: Path) -> None:
    found = verify(store)
    assert found.sound, describe_verification(found)
    result = found.recomputation
    assert result is not None
    assert result.num_units == result.num_equal == len(LatentStore(store))
    assert f"{result.num_units} units: {result.num_units} bit for bit equal" in describe_verification(found)


def test_the_sample_of_a_larger_fraction_holds_that_of_a_smaller() -> None:
    ids = pa.array([f"unit {number}" for number in range(2000)])
    samples = [set(sample_ids(ids, fraction, 3)) for fraction in (0.01, 0.1, 0.5, 1.0)]
    assert samples[0] < samples[1] < samples[2] < samples[3]
    assert 0.45 < len(samples[2]) / 2000 < 0.55
    assert len(samples[3]) == 2000
    assert set(sample_ids(ids, 0.1, 4)) != samples[1]


def test_a_value_that_is_another_is_told_by_how_much(store: Path) -> None:
    name = LatentStore(store).ids[3].as_py()
    change_tensor(store, name, 0.5)
    found = verify(store)
    result = found.recomputation
    assert result is not None
    assert result.different == [name]
    assert result.difference.tensors["mel"].num_rows == 1
    assert result.difference.tensors["mel"].max_abs == pytest.approx(0.5, abs=0.01)
    (finding,) = [finding for finding in found.findings if "made again" in finding.what]
    assert finding.what.endswith(f"differ, by at most {result.difference.tensors['mel'].max_abs:.3g}, such as {name!r}")
    assert finding.remedy == f"look closer with: latentmill replay {store} {name!r}"
    replay = replay_unit(str(store), name)
    assert not replay.equal
    assert "mel            [64, 100] in the store, [64, 100] now: differs by at most 0.5" in describe_replay(replay)


def test_a_recording_that_changed_is_to_blame(own: tuple[Path, Path]) -> None:
    source, store = own
    path = source / "low/clip_001.flac"
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples[::-1], rate)
    found = verify(store)
    assert found.recomputation is not None
    assert found.recomputation.changed_sources == ["low/clip_001.flac"]
    assert {name.partition("#")[0] for name in found.recomputation.different} == {"low/clip_001.flac"}
    assert "recordings were changed, such as 'low/clip_001.flac': run the job again" in describe_verification(found)


def test_recordings_that_are_gone_are_no_difference(own: tuple[Path, Path]) -> None:
    source, store = own
    (source / "low/clip_001.flac").unlink()
    found = verify(store)
    assert found.sound
    result = found.recomputation
    assert result is not None
    assert {name.partition("#")[0] for name, _ in result.unreadable} == {"low/clip_001.flac"}
    assert result.num_equal + len(result.unreadable) == result.num_units
    assert "whose recording cannot be read now" in describe_verification(found)
    replay = replay_unit(str(store), "low/clip_001.flac#0")
    assert not replay.equal
    assert "cannot be made again" in describe_replay(replay)


def test_rows_of_a_smaller_microbatch_are_made_in_that(
    store: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a device ran out of memory: some rows were computed two at a time."""
    path = sorted((store / "data").glob("*.parquet"))[0]
    table = pq.read_table(path)
    position = table.schema.get_field_index("microbatch")
    field = table.schema.field(position)
    reduced = table.set_column(position, field, pa.array([2] * table.num_rows, field.type))
    schema = LatentStore(store).schema
    PartWriter(str(store), schema, durable=False).commit(reduced.select(content_schema(schema).names))
    seen: list[int] = []
    real = recompute.ModelStage

    def stage(**options: object) -> object:
        seen.append(options["spec"].microbatch)  # type: ignore[attr-defined]
        return real(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(recompute, "ModelStage", stage)
    result = verify(store).recomputation
    assert result is not None
    assert seen == [4, 2]
    assert result.num_reduced == table.num_rows
    assert result.num_equal == result.num_units
    assert made != tmp_path


def test_other_software_is_told_beside_a_difference(store: Path) -> None:
    from pipeline.store.manifest import load_manifest, save_manifest

    manifest = load_manifest(str(store))
    save_manifest(str(store), manifest.revise(environment=manifest.environment | {"soxr": "0.0.1"}))
    name = LatentStore(store).ids[0].as_py()
    change_tensor(store, name, 1.0)
    text = describe_verification(verify(store))
    assert "software or processor are others here (soxr): make them again there" in text
    assert "soxr: 0.0.1 there, " in text


def test_a_unit_in_quarantine_is_tried_again(own: tuple[Path, Path], made: Path) -> None:
    replay = replay_unit(str(made / "store"), "broken.wav#0")
    assert replay.equal
    assert "in quarantine, and fails now too" in describe_replay(replay)
    source, store = own
    (source / "late.wav").write_text("not yet a recording")
    make_mels(source, store)
    soundfile.write(source / "late.wav", np.sin(np.arange(16_000) / 9), 16_000)
    assert "its header can be read now: run the job again" in describe_replay(replay_unit(str(store), "late.wav#0"))


def test_a_unit_that_is_not_there(store: Path) -> None:
    with pytest.raises(SpecError, match=r"no unit 'high/clip_000.wav' in its plan; .*: high/clip_000.wav#0"):
        replay_unit(str(store), "high/clip_000.wav")


def test_what_cannot_be_made_here_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not a store"):
        replay_unit(str(tmp_path), "x")
    text = (store / "job.yaml").read_text()
    (store / "job.yaml").write_text(text.replace("device: cpu", "device: cuda"))
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(SpecError, match=r"was computed on a GPU .*, and torch finds none here"):
            verify(store)


def test_the_command_line(store: Path) -> None:
    name = LatentStore(store).ids[0].as_py()
    same = latentmill("replay", store, name)
    assert same.returncode == 0, same.stderr
    assert f"{name}: bit for bit equal" in same.stdout
    change_tensor(store, name, 2.0)
    recomputed = latentmill("verify", store, "--recompute", "1", "--json")
    assert recomputed.returncode == 4
    assert json.loads(recomputed.stdout)["recomputation"]["num_different"] == 1
    assert os.listdir(store / "data")
