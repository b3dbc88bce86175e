"""New, changed and vanished units."""

from typing import Any

import pyarrow as pa
import pytest

from pipeline.changes import Changes, find_changes
from pipeline.pending import Done
from pipeline.planned import Plan
from pipeline.probe import PROBE_SCHEMA
from pipeline.seeds import unit_seed


@pytest.fixture(params=["seeds", "equal seeds"], autouse=True)
def _told_apart_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units are told apart by their seeds, and by their ids where two share one."""
    if request.param == "equal seeds":
        monkeypatch.setitem(globals(), "seed_of", lambda _: 7)


def seed_of(name: str) -> int:
    return unit_seed(0, name, "unit")


def plan_of(**captions: Any) -> Plan:
    count = len(captions)
    return Plan.of(
        pa.table(
            {
                "sample_id": pa.array([f"{name}#0" for name in captions], pa.string()),
                "source": pa.array(list(captions), pa.string()),
                "_path": pa.array([f"/x/{name}" for name in captions], pa.string()),
                "_member": pa.nulls(count, pa.string()),
                "duration_seconds": pa.array([1.0] * count, pa.float64()),
                "seed": pa.array([seed_of(name) for name in captions], pa.uint64()),
                "_bucket_samples": pa.array([16] * count, pa.int64()),
                "_bucket_channels": pa.array([1] * count, pa.int32()),
                "_probe_error": pa.nulls(count, pa.string()),
                "caption": list(captions.values()),
            }
        )
    )


def probes_of(**sizes: int | None) -> pa.Table:
    rows = [
        {
            "item": name,
            "size_bytes": size,
            "modified_ns": 1,
            "fingerprint": b"x" * 16,
            "num_frames": 1 if size else None,
            "error": None if size else "gone",
        }
        for name, size in sizes.items()
    ]
    return pa.Table.from_pylist(rows, PROBE_SCHEMA)


def done(*names: str) -> Done:
    ids = pa.array([f"{name}#0" for name in names], pa.large_string())
    return Done(store="", seeds={}, quarantined=ids)


def facts(changes: Changes) -> tuple[list[str], list[str], list[str], int]:
    """Changed, unreadable, gone, and how many were added."""
    lists = (changes.changed, changes.unreadable, changes.gone)
    return *(ids.to_pylist() for ids in lists), changes.num_added


def changed(*tables: Any) -> list[str]:
    return find_changes(*tables, done()).changed.to_pylist()


def test_nothing_changed() -> None:
    plan, probes = plan_of(a="x", b=None), probes_of(a=1, b=None)
    changes = find_changes(plan, probes, plan_of(a="x", b=None), probes, done("a", "b"))
    assert facts(changes) == ([], [], [], 0)
    assert changes.describe() == ""


@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_new_changed_and_gone(rows_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.changes.CHUNK", rows_at_once)
    monkeypatch.setattr("pipeline.planned.CHUNK", rows_at_once)
    before = plan_of(a="1", b="2", c="3", d="4"), probes_of(a=1, b=2, c=3, d=4)
    after = plan_of(e="5", d="4", b="2", a="1!"), probes_of(e=5, d=44, b=2, a=1)
    changes = find_changes(*before, *after, done("a", "b", "c", "orphan"))
    assert facts(changes) == (["a#0", "d#0"], [], ["c#0", "orphan#0"], 1)
    assert changes.describe() == (
        "since the last run: 1 unit(s) new, 2 unit(s) changed, to be made anew, 2 unit(s) gone from the source"
    )


def test_other_columns_make_every_unit_another() -> None:
    plan = plan_of(a="x", b="y")
    renamed = Plan.of(plan.table().rename_columns({"caption": "text"}))
    probes = probes_of(a=1, b=2)
    assert changed(plan, probes, renamed, probes) == ["a#0", "b#0"]


def test_a_file_that_was_merely_touched_has_not_changed() -> None:
    plan, before = plan_of(a="x"), probes_of(a=1)
    later = pa.array([2], pa.int64())
    touched = before.set_column(2, PROBE_SCHEMA.field(2), later)
    assert changed(plan, before, plan, touched) == []
    edited = touched.set_column(3, PROBE_SCHEMA.field(3), pa.array([b"y" * 16], pa.binary(16)))
    assert changed(plan, before, plan, edited) == ["a#0"]


def test_a_file_that_cannot_be_read_now_is_told_from_a_changed_one() -> None:
    plan, before = plan_of(a="x", b="y"), probes_of(a=1, b=2)
    after = pa.Table.from_pylist([*before.slice(0, 1).to_pylist(), {"item": "b", "error": "gone"}], PROBE_SCHEMA)
    changes = find_changes(plan, before, plan, after, done("a", "b"))
    assert facts(changes) == ([], ["b#0"], [], 0)


def test_a_missing_file_that_is_there_now_has_changed() -> None:
    plan = plan_of(a="x")
    assert changed(plan, probes_of(a=None), plan, probes_of(a=7)) == ["a#0"]


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ([1, 2], [1, 2], False),
        ([1], [2], True),
        (None, [1], True),
        (None, None, False),
        (float("nan"), float("nan"), False),
        ([float("nan")], [float("nan")], False),
        ({"a": 1}, {"a": 2}, True),
    ],
)
def test_nested_metadata(before: Any, after: Any, differs: bool) -> None:
    assert bool(changed(plan_of(a=before), probes_of(a=1), plan_of(a=after), probes_of(a=1))) is differs


def test_from_nothing() -> None:
    empty = Plan.of(plan_of().table().cast(plan_of(a="x").schema)), probes_of()
    assert find_changes(*empty, plan_of(a="x"), probes_of(a=1), done()).num_added == 1


def test_a_lost_plan_still_tells_what_is_gone() -> None:
    assert find_changes(None, None, plan_of(a="x"), probes_of(a=1), done("a", "b")).gone.to_pylist() == ["b#0"]
