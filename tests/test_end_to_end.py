"""A folder of recordings in, a store out: whole, open, and the same however it was made."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars
import pytest
import soundfile

from jobs.encode_job import EncodeJob
from jobs.mel_job import MelJob
from jobs.run import run_job
from jobs.spec_error import SpecError
from jobs.summary import Summary
from pipeline.quarantine import read_quarantine
from pipeline.store import LatentStore
from tests.jobs.stores import run_in_a_loop

pytestmark = pytest.mark.usefixtures("local_ray")

TINY_VAE = {"kind": "audio_vae", "weights": "random", "base_channels": 8, "num_res_blocks": 1}


def encode_job(source: Path, output: Path, **changes: Any) -> EncodeJob:
    """A small encode job: 1-s units that overlap, tiny random VAE."""
    spec: dict[str, Any] = {
        "source": {"path": str(source)},
        "output": str(output),
        "segment": {"length_seconds": 1.024, "hop_seconds": 0.768},
        "model": TINY_VAE,
        "microbatch": 4,
        "placement": {"actors": 1, "units_per_block": 8, "threads_per_actor": 1},
    }
    return EncodeJob.model_validate({**spec, **changes})


def encode(source: Path, output: Path, **changes: Any) -> Summary:
    """Runs it on Ray."""
    return run_job(encode_job(source, output, **changes))


def encode_in_a_loop(source: Path, output: Path, **changes: Any) -> Summary:
    """Runs it in this process, where Ray makes no difference."""
    return run_in_a_loop(encode_job(source, output, **changes))


@pytest.fixture(scope="module")
def store(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of `clips`, made in this process."""
    output = tmp_path_factory.mktemp("stores") / "clean"
    encode_in_a_loop(clips / "captions.csv", output)
    return output


def digest(store: Path) -> str:
    content_digest = LatentStore(store).manifest.content_digest
    assert content_digest is not None
    return content_digest


def test_every_planned_unit_is_there_once_and_finite(store: Path, clips: Path) -> None:
    opened = LatentStore(store)
    planned = 0
    for line in (clips / "captions.csv").read_text().splitlines()[1:]:
        info = soundfile.info(clips / line.partition(",")[0])
        length, hop = round(1.024 * 16_000), round(0.768 * 16_000)
        samples = -(-info.frames * 16_000 // info.samplerate)
        planned += max(1, 1 + -(-(samples - length) // hop))
    ids = opened.ids.to_pylist()
    assert len(ids) == len(set(ids)) == planned > 20
    for row in opened.iter_batches(16):
        assert np.isfinite(row["latent_mean"]).all()
        assert np.isfinite(row["latent_logvar"]).all()
    assert opened[0]["latent_mean"].shape == (8, 8)
    assert opened.manifest.totals.num_units == planned


def test_rows_carry_the_manifests_columns(store: Path) -> None:
    row = LatentStore(store).by_id("high/clip_000.wav#0")
    assert row["caption"] == "a chord, number 0"
    assert row["category"] == "high"
    assert row["source"] == "high/clip_000.wav"
    assert 0 < row["duration_seconds"] <= 1.024


def test_other_tools_read_the_files(store: Path) -> None:
    import datasets

    opened, parts = LatentStore(store), f"{store}/data/*.parquet"
    ids, first = opened.ids.to_pylist(), opened[0]
    by_duckdb = duckdb.sql(f"select sample_id, caption, latent_mean from '{parts}' order by sample_id").fetchall()
    assert [row[0] for row in by_duckdb] == ids
    assert bytes(by_duckdb[0][2]) == first["latent_mean"].tobytes()
    by_polars = polars.read_parquet(parts).sort("sample_id")
    assert by_polars["sample_id"].to_list() == ids
    assert by_polars["latent_mean"][0] == first["latent_mean"].tobytes()
    files = [str(path) for path in (store / "data").glob("*.parquet")]
    by_datasets = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(store / "cache"))
    rows = {row["sample_id"]: row["latent_mean"] for row in by_datasets}
    assert sorted(rows) == ids
    assert rows[ids[0]] == first["latent_mean"].tobytes()


@pytest.mark.parametrize(
    "placement",
    [
        {"actors": 2, "units_per_block": 5, "threads_per_actor": 1},
        {"actors": 1, "units_per_block": 3, "threads_per_actor": 2, "units_per_file": 1000},
    ],
)
def test_placement_does_not_change_a_byte(store: Path, clips: Path, tmp_path: Path, placement: dict[str, Any]) -> None:
    encode(clips / "captions.csv", tmp_path / "store", placement=placement)
    assert digest(tmp_path / "store") == digest(store)


def test_the_order_of_listing_does_not_change_a_byte(store: Path, clips: Path, tmp_path: Path) -> None:
    shuffled = tmp_path / "clips"
    shutil.copytree(clips, shuffled)
    header, *rows = (clips / "captions.csv").read_text().splitlines()
    random.Random(3).shuffle(rows)
    (shuffled / "captions.csv").write_text("\n".join([header, *rows]))
    encode_in_a_loop(shuffled / "captions.csv", tmp_path / "store")
    assert digest(tmp_path / "store") == digest(store)


def test_a_finished_job_has_nothing_left_to_do(store: Path, clips: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (store / "data").iterdir()}
    summary = encode(clips / "captions.csv", store)
    assert (summary.num_new, summary.num_kept) == (0, len(LatentStore(store)))
    assert {path: path.stat().st_mtime_ns for path in (store / "data").iterdir()} == before


def test_the_stores_own_spec_makes_the_same_store(store: Path, tmp_path: Path) -> None:
    from jobs.load import load_job

    run_in_a_loop(load_job(store / "job.yaml", [f"output={tmp_path / 'again'}"]))
    assert digest(tmp_path / "again") == digest(store)


def test_a_new_caption_is_stored_and_a_new_column_refused(make_clips: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_clips(3)
    manifest = folder / "captions.csv"
    encode_in_a_loop(manifest, tmp_path / "store")
    manifest.write_text(manifest.read_text().replace("a chord, number 2", "a better caption"))
    assert encode_in_a_loop(manifest, tmp_path / "store").num_new > 0
    assert LatentStore(tmp_path / "store").by_id("high/clip_002.wav#0")["caption"] == "a better caption"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([lines[0] + ",mood", *(line + ",calm" for line in lines[1:])]))
    with pytest.raises(SpecError, match=r"columns are not those of .*\n  mood: \(unset\) → string"):
        encode_in_a_loop(manifest, tmp_path / "store")


def test_another_spec_is_refused_field_by_field(store: Path, clips: Path) -> None:
    with pytest.raises(SpecError, match=r"(?s)made by another spec.*seed: 0 → 1.*model.base_channels: 8 → 4") as caught:
        encode(clips / "captions.csv", store, seed=1, model={**TINY_VAE, "base_channels": 4})
    assert "placement" not in str(caught.value)
    assert digest(store)


def test_bad_files_cost_their_own_rows_alone(make_clips: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_clips(8)
    encode_in_a_loop(folder / "captions.csv", tmp_path / "clean")
    rng = np.random.default_rng(0)
    soundfile.write(folder / "cut.flac", rng.uniform(-0.5, 0.5, 48_000), 16_000)
    whole = (folder / "cut.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "text.wav").write_text("no recording at all")
    (folder / "empty.wav").touch()
    broken = np.full(16_000, 0.1, np.float32)
    broken[8000] = np.nan
    soundfile.write(folder / "nan.wav", broken, 16_000, subtype="FLOAT")
    with (folder / "captions.csv").open("a") as manifest:
        for name in ("cut.flac", "text.wav", "empty.wav", "nan.wav", "missing.wav"):
            manifest.write(f"{name},broken,bad\n")

    summary = encode(folder / "captions.csv", tmp_path / "store", limits={"max_failed_fraction": 0.5})
    assert not summary.budget_exceeded
    failures = {row["source"]: row for row in read_quarantine(str(tmp_path / "store")).to_pylist()}
    assert {name: row["stage"] for name, row in failures.items()} == {
        "cut.flac": "decode",
        "text.wav": "probe",
        "empty.wav": "probe",
        "nan.wav": "decode",
        "missing.wav": "probe",
    }
    assert "non-finite" in failures["nan.wav"]["reason"]
    assert "No such file" in failures["missing.wav"]["reason"]
    clean, store = LatentStore(tmp_path / "clean"), LatentStore(tmp_path / "store")
    kept = [name for name in store.ids.to_pylist() if not name.startswith("cut.flac")]
    assert kept == clean.ids.to_pylist()
    for name in kept:
        expected, got = clean.by_id(name), store.by_id(name)
        assert expected["latent_mean"].tobytes() == got["latent_mean"].tobytes()
        assert expected["latent_logvar"].tobytes() == got["latent_logvar"].tobytes()

    strict = encode_in_a_loop(
        folder / "captions.csv", tmp_path / "store", limits={"max_failed": 2, "max_failed_fraction": 1}
    )
    assert strict.budget_exceeded
    assert strict.num_new == 0


def test_kept_tails_vary_in_length_and_equal_themselves(clips: Path, tmp_path: Path) -> None:
    segment = {"length_seconds": 1.024, "tail": "keep", "bucket_seconds": 0.256}
    encode_in_a_loop(clips, tmp_path / "a", segment=segment)
    encode(
        clips, tmp_path / "b", segment=segment, placement={"actors": 1, "units_per_block": 2, "threads_per_actor": 1}
    )
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    lengths = {row["latent_mean"].shape[-1] for row in map(LatentStore(tmp_path / "a").__getitem__, range(10))}
    assert lengths <= {2, 4, 6, 8}
    assert len(lengths) > 1


def test_one_short_recording_is_enough(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "click.wav", [0.5, -0.5, 0.25], 8000)
    assert encode_in_a_loop(tmp_path / "click.wav", tmp_path / "store").manifest.totals.num_units == 1


@pytest.mark.parametrize("latent", ["mean", "sample"])
def test_other_latents(clips: Path, tmp_path: Path, latent: str) -> None:
    encode_in_a_loop(clips, tmp_path / "store", latent=latent)
    assert list(LatentStore(tmp_path / "store").tensors) == [f"latent_{latent}"]


def test_stereo_latents_have_a_channel_axis(clips: Path, tmp_path: Path) -> None:
    encode_in_a_loop(clips, tmp_path / "store", audio={"channels": "stereo"})
    assert LatentStore(tmp_path / "store")[0]["latent_mean"].shape == (2, 8, 8)


def test_mels_of_one_channel_or_as_recorded(clips: Path, tmp_path: Path) -> None:
    job: dict[str, Any] = {
        "source": {"path": str(clips)},
        "mel": {"preset": "audioldm2"},
        "segment": {"length_seconds": 1.0},
    }
    job["placement"] = {"actors": 1}
    run_in_a_loop(MelJob.model_validate({**job, "output": str(tmp_path / "mono")}))
    assert LatentStore(tmp_path / "mono")[0]["mel"].shape == (64, 100)
    run_in_a_loop(MelJob.model_validate({**job, "output": str(tmp_path / "keep"), "audio": {"channels": "keep"}}))
    shapes = {row["mel"].shape for row in map(LatentStore(tmp_path / "keep").__getitem__, range(12))}
    assert shapes == {(64, 100), (2, 64, 100)}


def test_the_manifest_says_what_was_made_and_with_what(store: Path) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    assert manifest["state"] == "complete"
    assert manifest["kind"] == "encode"
    assert {"torch", "ray", "python", "latentmill", "weights"} <= set(manifest["environment"])
    statistics = LatentStore(store).statistics
    draws = np.concatenate([LatentStore(store).sample(slice(None), seed=seed, epoch=0).ravel() for seed in range(3)])
    assert np.isclose(draws.std() * statistics.scale_factor, 1, atol=0.02)
