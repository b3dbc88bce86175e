"""The plan in a file of the store."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.plan import PlanSettings, build_plan
from pipeline.planned import Plan
from pipeline.saved_plan import find_plan, open_plan, save_plan
from pipeline.segment_spec import SegmentSpec
from pipeline.source.items import whole_files
from workers.audio.decode_spec import DecodeSpec


@pytest.fixture
def plan() -> Plan:
    count = 50
    names = [f"é {number:03d}.wav" for number in range(count)]
    items = whole_files(names, names).append_column("_duration_seconds", [[0.7 * number for number in range(count)]])
    items = items.append_column("tags", [[[name] * (len(name) % 3) for name in names]])
    settings = PlanSettings(
        segment=SegmentSpec(length_seconds=1.0, tail="keep"),
        decode=DecodeSpec(sample_rate=1000),
        alignment_samples=16,
        min_samples=1,
        seed=3,
    )
    return build_plan(items, None, settings)


@pytest.fixture(autouse=True)
def _small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.saved_plan._ROWS_PER_GROUP", 64)


def test_what_is_read_is_what_was_saved(plan: Plan, tmp_path: Path) -> None:
    save_plan(str(tmp_path), plan, None)
    again = open_plan(str(tmp_path))
    assert pq.ParquetFile(tmp_path / "plan/units.parquet").num_row_groups > 10
    assert again.table().equals(plan.table())
    assert again.shapes == plan.shapes
    assert (again.num_rows, again.num_items, again.audio_seconds) == (plan.num_rows, 50, plan.audio_seconds)
    assert again.seeds.tolist() == plan.seeds.tolist()


def test_rows_come_in_the_order_that_they_are_asked_for(plan: Plan, tmp_path: Path) -> None:
    save_plan(str(tmp_path), plan, None)
    again = open_plan(str(tmp_path))
    for seed in range(5):
        which = np.random.default_rng(seed).permutation(plan.num_rows)[: 40 * seed]
        assert again.take(which).table().equals(plan.take(which).table())
        assert again.take(which).take(np.arange(len(which))[::-2]).table(["seed"]) == plan.take(which[::-2]).table(
            ["seed"]
        )


def test_rows_are_read_from_the_file_by_other_processes(plan: Plan, tmp_path: Path) -> None:
    expected = plan.table()
    save_plan(str(tmp_path), plan, None)
    assert plan.table().equals(expected)
    sent = pickle.dumps(plan.rows)
    assert len(sent) < 1000
    rows = pickle.loads(sent)
    assert rows.read(np.arange(plan.num_rows), plan.schema.names).equals(expected)
    assert pickle.loads(sent) is rows
    shorter = plan.slice(0, 5)
    save_plan(str(tmp_path), shorter, None)
    again = pickle.loads(pickle.dumps(open_plan(str(tmp_path)).rows))
    assert again.read(np.array([4]), ["sample_id"]).equals(expected.slice(4, 1).select(["sample_id"]))
    assert again is not rows


def test_a_plan_made_from_something_else_is_not_taken(plan: Plan, tmp_path: Path) -> None:
    store = str(tmp_path)
    assert find_plan(store) is None
    save_plan(store, plan, {"identity": "a", "digest": "1"})
    assert find_plan(store) is not None
    assert find_plan(store, {"identity": "a", "digest": "1"}) is not None
    assert find_plan(store, {"identity": "a", "digest": "2"}) is None
    with pytest.raises(FileNotFoundError, match="was not made from"):
        open_plan(store, {"identity": "b", "digest": "1"})
    save_plan(store, plan, None)
    assert find_plan(store, {"identity": "a", "digest": "1"}) is None


def test_a_missing_damaged_or_old_plan_is_none(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan/units.parquet"
    with pytest.raises(FileNotFoundError, match=r"no plan/units.parquet; run the job again to write it"):
        open_plan(str(tmp_path))
    save_plan(str(tmp_path), plan, None)
    path.write_bytes(path.read_bytes()[:-100])
    assert find_plan(str(tmp_path)) is None
    pq.write_table(pa.table({"sample_id": ["a"]}), path)
    assert find_plan(str(tmp_path)) is None
