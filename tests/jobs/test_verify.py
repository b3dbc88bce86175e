"""What `verify` finds: flips and cuts in every kind of file, and units that are not where they should be."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs.spec_error import SpecError
from jobs.verify import Verification, verify_store
from jobs.verify_report import describe_verification
from pipeline.quarantine import Failure, write_quarantine
from pipeline.store import LatentStore
from pipeline.store.index import build_index
from pipeline.store.manifest import Manifest, load_manifest, save_manifest
from pipeline.store.schema import content_schema
from pipeline.store.writer import PartWriter
from tests.jobs.command import latentmill
from tests.jobs.stores import make_mels


def verify(store: Path) -> Verification:
    return verify_store(str(store))


def told(store: Path) -> dict[str, str]:
    """Findings by file."""
    return {finding.file: finding.what for finding in verify(store).findings}


def part_files(store: Path) -> list[Path]:
    return sorted((store / "data").glob("*.parquet"))


def unfinished(store: Path) -> None:
    save_manifest(str(store), load_manifest(str(store)).revise(state="interrupted"))


def test_units_of_several_lengths_and_lists_among_the_metadata(made: Path, tmp_path: Path) -> None:
    """What is in a list has one name in Arrow and another in Parquet, which is no difference."""
    recordings = [path for path in sorted((made / "source").rglob("*/*.*")) if path.stem.startswith("clip")]
    table = pa.table({"path": [str(path) for path in recordings[:2]], "tags": [["a", "b"], []]})
    pq.write_table(table, tmp_path / "manifest.parquet")
    segment = {"length_seconds": 1.0, "tail": "keep"}
    make_mels(tmp_path / "manifest.parquet", tmp_path / "varying", segment=segment)
    found = verify(tmp_path / "varying")
    assert found.sound, describe_verification(found)


def test_a_sound_store(store: Path) -> None:
    found = verify(store)
    assert found.sound, describe_verification(found)
    accounts = found.accounts
    assert found.num_rows == accounts.num_stored == len(LatentStore(store))
    assert (accounts.num_planned, accounts.num_quarantined) == (accounts.num_stored + 1, 1)
    assert found.content_digest == LatentStore(store).manifest.content_digest
    assert found.num_unsealed == 0
    assert not found.notes
    files = [path for path in store.rglob("*") if path.is_file() and "logs" not in path.parts]
    assert found.num_files == len(files)


KINDS = ("data", "quarantine", "plan/units.parquet", "plan/probes.parquet", "index.parquet", "manifest.json")


def damaged_files(store: Path, kind: str) -> Iterator[tuple[Path, bytes]]:
    paths = sorted(store.glob(f"{kind}/*.parquet")) or [store / kind]
    rng = random.Random(kind)
    for _ in range(8):
        path = rng.choice(paths)
        whole = path.read_bytes()
        position = rng.randrange(len(whole))
        yield path, whole[:position] + bytes([whole[position] ^ 1 << rng.randrange(8)]) + whole[position + 1 :]
    for _ in range(4):
        path = rng.choice(paths)
        whole = path.read_bytes()
        yield path, whole[: rng.randrange(len(whole))]


@pytest.mark.parametrize("kind", KINDS)
def test_flips_and_cuts_in_every_kind_of_file(store: Path, kind: str) -> None:
    for path, damaged in damaged_files(store, kind):
        whole = path.read_bytes()
        path.write_bytes(damaged)
        found = verify(store)
        name = path.relative_to(store).as_posix()
        assert name in {finding.file for finding in found.findings}, f"{name}: {len(whole)} → {len(damaged)} bytes"
        assert all(finding.what and finding.remedy for finding in found.findings)
        path.write_bytes(whole)
    assert verify(store).sound


@pytest.mark.parametrize("line", ["seed: 0", "length_seconds: 1.0", "microbatch: 4"])
def test_another_spec_than_the_one_that_made_it(store: Path, line: str) -> None:
    text = (store / "job.yaml").read_text()
    name = line.partition(":")[0]
    assert f"{line}\n" in text
    (store / "job.yaml").write_text(text.replace(f"{line}\n", f"{name}: 7\n", 1))
    assert "describes another job than the manifest" in told(store)["job.yaml"]


def test_a_spec_that_is_none(store: Path) -> None:
    (store / "job.yaml").write_text("kind: mel\nsead: 1\n")
    assert "sead: unknown field" in told(store)["job.yaml"]
    (store / "job.yaml").unlink()
    assert "missing, or cannot be read" in told(store)["job.yaml"]


def test_where_a_store_lies_and_how_it_was_placed_does_not_matter(store: Path) -> None:
    text = (store / "job.yaml").read_text()
    (store / "job.yaml").write_text(text.replace("units_per_block: 4", "units_per_block: 9"))
    assert verify(store).sound


def test_a_part_that_is_gone_leaves_units_missing(store: Path) -> None:
    gone = part_files(store)[1]
    count = pq.read_metadata(gone).num_rows
    gone.unlink()
    found = told(store)
    assert f"{count} unit(s) of the plan neither stored nor quarantined, such as " in found["data"]
    assert found["index.parquet"] == "it was built from other parts than are there"
    assert "says content digest " in found["manifest.json"]
    unfinished(store)
    later = verify(store)
    assert later.sound
    assert later.accounts.num_pending == count
    assert "sound as far as it goes" in describe_verification(later)
    assert f"{count} pending" in describe_verification(later)


def test_units_of_another_job(store: Path, made: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "strange.wav", np.sin(np.arange(9000) / 9), 16_000)
    make_mels(tmp_path / "strange.wav", tmp_path / "other")
    shutil.copy(part_files(tmp_path / "other")[0], store / "data")
    assert told(store)["data"] == "1 unit(s) not in the plan, such as 'strange.wav#0'"
    assert made


def test_a_unit_that_is_there_twice(store: Path) -> None:
    schema = LatentStore(store).schema
    row = pq.read_table(part_files(store)[0]).slice(0, 1).cast(schema)
    name = row["sample_id"][0].as_py()
    content = row.select(content_schema(schema).names)
    PartWriter(str(store), schema, durable=False).commit(content)
    assert told(store)["data"] == f"1 unit(s) twice, with the same content, such as {name!r}"
    unfinished(store)
    assert "1 unit(s) twice, after a kill" in " ".join(verify(store).notes)
    position = content.schema.get_field_index("seed")
    forged = content.set_column(position, content.schema.field(position), pa.array([1], pa.uint64()))
    PartWriter(str(store), schema, durable=False).commit(forged)
    assert told(store)["data"] == f"1 unit(s) twice, with other content, such as {name!r}"


def test_a_unit_that_is_stored_and_in_quarantine(store: Path) -> None:
    name = LatentStore(store).ids[0].as_py()
    _in_quarantine_as_well(store)
    assert told(store)["quarantine"] == f"1 unit(s) stored and in quarantine as well, such as {name!r}"


def test_rows_that_were_replaced_by_others_of_the_same_name(store: Path) -> None:
    """Whoever writes a sound part with other values is caught by the content digest alone."""
    path = part_files(store)[0]
    table = pq.read_table(path)
    schema = LatentStore(store).schema
    position = table.schema.get_field_index("start_seconds")
    forged = table.set_column(position, table.schema.field(position), pc.add(table["start_seconds"], 1.0))
    receipt = PartWriter(str(store), schema, durable=False).commit(forged.select(content_schema(schema).names))
    assert receipt.file == path.name
    (store / "index.parquet").unlink()
    build_index(str(store))
    found = told(store)
    assert list(found) == ["manifest.json"]
    assert "says content digest " in found["manifest.json"]


@pytest.mark.parametrize("column", ["row", "row_group", "file", "sample_id"])
def test_an_index_that_points_elsewhere(store: Path, column: str) -> None:
    path = store / "index.parquet"
    table = pq.read_table(path)
    position = table.schema.get_field_index(column)
    turned = pa.chunked_array([table[column].combine_chunks().take(pa.array([1, 0, *range(2, table.num_rows)]))])
    if column in ("row_group", "file"):
        turned = table[column].combine_chunks()
        turned = (
            turned.take(pa.array([table.num_rows - 1, *range(1, table.num_rows)]))
            if column == "file"
            else pc.add(turned, pa.scalar(1, pa.int32()))
        )
    from pipeline.store.seal import write_sealed

    with pa.OSFile(str(path), "wb") as file:
        write_sealed(table.set_column(position, table.schema.field(position), turned), file)
    assert list(told(store)) == ["index.parquet"]


@pytest.mark.parametrize("name", ["index.parquet", "plan/units.parquet", "plan/probes.parquet", "manifest.json"])
def test_missing_files(store: Path, name: str) -> None:
    (store / name).unlink()
    assert told(store)[name] == "is missing"


def _twice(store: Path) -> None:
    schema = LatentStore(store).schema
    row = pq.read_table(part_files(store)[0]).slice(0, 1).cast(schema)
    PartWriter(str(store), schema, durable=False).commit(row.select(content_schema(schema).names))


def _in_quarantine_as_well(store: Path) -> None:
    name = LatentStore(store).ids[0].as_py()
    failure = {"source": "x", "start_seconds": 0.0, "duration_seconds": 1.0, "stage": "model", "reason": "none"}
    write_quarantine(str(store), [Failure(sample_id=name, error_type="ValueError", **failure)])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a part cut short": lambda store: part_files(store)[0].write_bytes(part_files(store)[0].read_bytes()[:-9]),
    "a part gone": lambda store: part_files(store)[0].unlink(),
    "a unit twice": _twice,
    "a unit in quarantine as well": _in_quarantine_as_well,
    "no index": lambda store: (store / "index.parquet").unlink(),
    "no plan": lambda store: (store / "plan/units.parquet").unlink(),
    "no headers": lambda store: (store / "plan/probes.parquet").unlink(),
    "no manifest": lambda store: (store / "manifest.json").unlink(),
    "no quarantine": lambda store: next((store / "quarantine").glob("*.parquet")).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_running_the_job_again_mends_what_the_remedy_says_it_mends(store: Path, made: Path, damage: str) -> None:
    digest = load_manifest(str(store)).content_digest
    DAMAGE[damage](store)
    found = verify(store)
    assert found.findings
    assert all("run the job again" in finding.remedy for finding in found.findings), found.findings
    make_mels(made / "source", store)
    after = verify(store)
    assert after.sound, describe_verification(after)
    assert after.content_digest == digest


def test_strays_are_noted(store: Path) -> None:
    (store / "data" / ".part-1.parquet.0123456789ab.tmp").touch()
    (store / "quarantine" / "part-1.parquet.damaged").touch()
    (store / "notes.txt").touch()
    (store / "data" / "README").touch()
    found = verify(store)
    assert found.sound
    text = "\n".join(found.notes)
    assert "1 file(s) half-written" in text
    assert "1 file(s) set aside" in text
    assert "2 file(s) not latentmill's" in text
    assert "notes.txt, data/README" in text


def test_files_of_an_older_version(store: Path) -> None:
    for path in (*part_files(store), store / "index.parquet"):
        file = pq.ParquetFile(path)
        table, footer = file.read().replace_schema_metadata(), file.metadata.metadata
        with pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=False) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({b"latentmill.sums": footer.get(b"latentmill.sums", b"")})
    save_manifest(str(store), _with_sizes(store))
    build_index(str(store))
    found = verify(store)
    assert found.sound, describe_verification(found)
    assert found.num_unsealed == len(part_files(store))
    assert "of an older version carry no checksum" in describe_verification(found)


def _with_sizes(store: Path) -> Manifest:
    manifest = load_manifest(str(store))
    total = sum(path.stat().st_size for path in part_files(store))
    return manifest.revise(totals=manifest.totals.model_copy(update={"num_bytes": total}).model_dump())


def test_the_report_fits_a_screen_however_much_is_wrong(store: Path) -> None:
    for path in (*part_files(store), store / "index.parquet", store / "plan/units.parquet"):
        path.write_bytes(path.read_bytes()[:-50])
    found = verify(store)
    many = replace(found, findings=found.findings * 10)
    text = describe_verification(many)
    assert len(text.splitlines()) < 30
    assert f"{len(many.findings) - 8} more (--json lists all)" in text
    assert json.loads(json.dumps(many.as_json()))["sound"] is False


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not a store"):
        verify(tmp_path)


def test_exit_codes(store: Path, tmp_path: Path) -> None:
    sound = latentmill("verify", store)
    assert sound.returncode == 0
    assert "mel, complete, sound" in sound.stdout
    path = part_files(store)[0]
    path.write_bytes(path.read_bytes()[:-1])
    broken = latentmill("verify", store, "--json")
    assert broken.returncode == 4
    assert json.loads(broken.stdout)["findings"][0]["file"] == f"data/{path.name}"
    nothing = latentmill("verify", tmp_path / "nowhere")
    assert nothing.returncode == 2
    assert "not a store" in nothing.stderr
    assert latentmill("verify", store, "--recompute", 2).returncode == 2


def test_a_damaged_store_is_reported_though_units_were_to_be_made_again(store: Path) -> None:
    path = part_files(store)[0]
    path.write_bytes(path.read_bytes()[:-50])
    found = verify_store(str(store), fraction=1.0)
    assert found.findings[0].file == f"data/{path.name}"
    assert found.recomputation is None
    assert any("no unit was made again" in note for note in found.notes)
