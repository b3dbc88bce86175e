"""New, changed and vanished units."""

from typing import Any

import pyarrow as pa
import pytest

from pipeline.changes import Changes, find_changes
from pipeline.probe import PROBE_SCHEMA


def plan_of(**captions: Any) -> pa.Table:
    return pa.table(
        {
            "sample_id": pa.array([f"{name}#0" for name in captions], pa.string()),
            "source": pa.array(list(captions), pa.string()),
            "path": pa.array([f"/x/{name}" for name in captions], pa.string()),
            "caption": list(captions.values()),
        }
    )


def probes_of(**sizes: int | None) -> pa.Table:
    rows = [{"item": name, "size_bytes": size, "modified_ns": 1} for name, size in sizes.items()]
    return pa.Table.from_pylist(rows, PROBE_SCHEMA)


def test_nothing_changed() -> None:
    plan, probes = plan_of(a="x", b=None), probes_of(a=1, b=None)
    assert find_changes(plan, probes, plan, probes) == Changes(changed=[], gone=[], num_added=0)
    assert find_changes(plan, probes, plan, probes).describe() == ""


def test_new_changed_and_gone() -> None:
    before = plan_of(a="1", b="2", c="3", d="4"), probes_of(a=1, b=2, c=3, d=4)
    after = plan_of(e="5", d="4", b="2", a="1!"), probes_of(e=5, d=44, b=2, a=1)
    changes = find_changes(*before, *after)
    assert changes == Changes(changed=["a#0", "d#0"], gone=["c#0"], num_added=1)
    assert changes.describe() == (
        "since the last run: 1 unit(s) new, 2 unit(s) changed and to be made anew,"
        " 1 unit(s) gone from the source and to be removed"
    )


def test_a_missing_file_that_is_there_now_has_changed() -> None:
    plan = plan_of(a="x")
    assert find_changes(plan, probes_of(a=None), plan, probes_of(a=7)).changed == ["a#0"]


@pytest.mark.parametrize(("before", "after", "changed"), [([1, 2], [1, 2], False), ([1], [2], True), (None, [1], True)])
def test_nested_metadata(before: Any, after: Any, changed: bool) -> None:
    found = find_changes(plan_of(a=before), probes_of(a=1), plan_of(a=after), probes_of(a=1))
    assert bool(found.changed) is changed


def test_from_nothing() -> None:
    empty = plan_of().cast(plan_of(a="x").schema), probes_of()
    assert find_changes(*empty, plan_of(a="x"), probes_of(a=1)).num_added == 1
