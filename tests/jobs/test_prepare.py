"""Job → plan, where the source says how long its items are."""

from pathlib import Path
from typing import Any

import pytest

from jobs.begin import begin_store, check_store
from jobs.mel_job import MelJob
from jobs.outlook import look_ahead
from jobs.prepare import Prepared, prepare
from pipeline.cluster import Resources
from pipeline.progress import Silent
from pipeline.saved_plan import open_plan


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "clips.csv"
    path.write_text("path,seconds,caption\n" + "".join(f"{n:02d}.wav,{n / 4 + 1},sound {n}\n" for n in range(20)))
    return path


def prepared(manifest: Path, **fields: Any) -> Prepared:
    source = {"path": manifest, "duration_column": "seconds"}
    job = {"source": source, "output": manifest.parent / "store", "segment": {"length_seconds": 2.0}, **fields}
    return prepare(MelJob.model_validate(job), Resources(cpus=2, gpus=0), Silent())


def begin(work: Prepared) -> None:
    begin_store(work, check_store(work, prune=False), prune=False, retry_quarantined=False)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grows with each listing of a source."""
    from pipeline import inputs as module

    made: list[Any] = []
    list_source = module.list_source
    monkeypatch.setattr(module, "list_source", lambda spec: made.append(spec) or list_source(spec))
    return made


def test_no_file_is_looked_at(manifest: Path) -> None:
    work = prepared(manifest)
    assert work.job.inputs().listed_lengths
    assert (work.num_items, work.plan.num_rows, work.probes.num_rows) == (20, 42, 0)
    assert set(work.plan["caption"].to_pylist()) == {f"sound {n}" for n in range(20)}


def test_an_unchanged_manifest_is_not_listed_again(manifest: Path, listings: list[Any]) -> None:
    first = prepared(manifest)
    expected = first.plan.table()
    begin(first)
    again = prepared(manifest)
    assert len(listings) == 1
    assert again.plan.table().equals(expected)
    assert open_plan(again.job.output).table().equals(expected)
    assert (again.num_items, again.identity, again.schema) == (20, first.identity, first.schema)
    assert again.job.inputs().listed_lengths
    assert again.changes.describe() == ""
    begin(again)
    assert look_ahead(again.job).num_pending == 42
    assert len(listings) == 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("05.wav,2.25", "05.wav,2.5", "1 unit(s) changed, to be made anew"),
        ("05.wav,2.25", "05.wav,4.25", "1 unit(s) new, 1 unit(s) changed"),
        ("sound 5", "sound five", "2 unit(s) changed, to be made anew"),
        ("05.wav", "five.wav", "2 unit(s) new"),
        ("sound 0\n", 'sound 0"\n', ""),
    ],
)
def test_a_changed_manifest_is(manifest: Path, listings: list[Any], old: str, new: str, says: str) -> None:
    begin(prepared(manifest))
    manifest.write_text(manifest.read_text().replace(old, new))
    again = prepared(manifest)
    assert len(listings) == 2
    assert says in again.changes.describe()
    begin(again)
    prepared(manifest)
    assert len(listings) == 2


def test_another_job_is_planned_anew(manifest: Path, listings: list[Any]) -> None:
    begin(prepared(manifest))
    assert prepared(manifest, segment={"length_seconds": 1.0}).plan.num_rows > 42
    prepared(manifest, seed=1)
    assert len(listings) == 3


def test_a_moved_manifest_is_listed_again(manifest: Path, listings: list[Any]) -> None:
    """Its files are seen from where it lies."""
    begin(prepared(manifest))
    store = manifest.parent / "store"
    moved = manifest.rename(manifest.with_name("moved.csv"))
    work = prepared(moved, output=store)
    assert len(listings) == 2
    assert work.changes.describe() == ""


def test_files_without_durations_are_looked_at_every_time(clips: Path, tmp_path: Path, listings: list[Any]) -> None:
    job = MelJob.model_validate({"source": {"path": clips}, "output": tmp_path / "store"})
    for _ in range(2):
        work = prepare(job, Resources(cpus=2, gpus=0), Silent())
        assert not work.job.inputs().listed_lengths
        begin(work)
    assert len(listings) == 2
