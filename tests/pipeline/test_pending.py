"""What is left to do, against real stores."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.pending import find_done, pending_units
from pipeline.planned import Plan
from pipeline.quarantine import Failure, write_quarantine
from pipeline.seeds import unit_seed
from pipeline.store.index import list_parts
from pipeline.store.schema import store_schema
from pipeline.store.writer import PartWriter
from workers.tensor_column import TensorColumn

SCHEMA = store_schema(
    [TensorColumn(name="value", shape=(1,), dtype="float32", description="a number")],
    pa.schema([]),
    variable_length=False,
)


@pytest.fixture(params=["seeds", "equal seeds"])
def seed_of(request: pytest.FixtureRequest) -> Any:
    """Units are told apart by their seeds, and by their ids where two share one."""
    return (lambda name: unit_seed(0, name, "unit")) if request.param == "seeds" else (lambda _: 7)


def plan_of(names: list[str], seed_of: Any) -> Plan:
    count = len(names)
    return Plan.of(
        pa.table(
            {
                "sample_id": pa.array(names, pa.string()),
                "duration_seconds": pa.array([0.1] * count, pa.float64()),
                "seed": pa.array([seed_of(name) for name in names], pa.uint64()),
                "_bucket_samples": pa.array([16] * count, pa.int64()),
                "_bucket_channels": pa.array([1] * count, pa.int32()),
                "_probe_error": pa.nulls(count, pa.string()),
            }
        )
    )


def commit(store: Path, names: list[str], seed_of: Any) -> str:
    columns: dict[str, Any] = {"sample_id": names, "source": names, "seed": [seed_of(name) for name in names]}
    columns |= {name: [1.0] * len(names) for name in ("start_seconds", "duration_seconds")}
    columns |= {"microbatch": [2] * len(names), "value": [b"\0" * 4] * len(names)}
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    return PartWriter(str(store), SCHEMA).commit(pa.table(columns, schema=schema)).file


def fail(store: Path, names: list[str]) -> None:
    facts: dict[str, Any] = {"start_seconds": 0.0, "duration_seconds": 1.0, "stage": "decode", "reason": "no"}
    write_quarantine(
        str(store), [Failure(sample_id=name, source=name, error_type="MediaError", **facts) for name in names]
    )


def names(*numbers: int) -> list[str]:
    return [f"{number:03d}" for number in numbers]


def pending(plan: Plan, store: Path) -> list[str]:
    return pending_units(plan, str(store))["sample_id"].to_pylist()


def test_what_is_neither_stored_nor_quarantined_in_plan_order(tmp_path: Path, seed_of: Any) -> None:
    plan = plan_of(names(*range(9, -1, -1)), seed_of)
    assert pending_units(plan, str(tmp_path)) is plan
    commit(tmp_path, names(8, 3), seed_of)
    commit(tmp_path, names(0, 3), seed_of)  # a kill may leave a unit in two parts
    fail(tmp_path, names(5))
    assert pending(plan, tmp_path) == names(9, 7, 6, 4, 2, 1)
    done = find_done(str(tmp_path), plan)
    assert done.num_stored(plan) == 3
    assert plan.filter(done.stored(plan))["sample_id"].to_pylist() == names(8, 3, 0)


def test_parts_are_read_once_and_forgotten_with_their_files(tmp_path: Path, seed_of: Any) -> None:
    plan = plan_of(names(*range(6)), seed_of)
    first, second = commit(tmp_path, names(0, 1), seed_of), commit(tmp_path, names(2), seed_of)
    assert pending(plan, tmp_path) == names(3, 4, 5)
    assert set(plan.seeds_of_parts) == {first, second}
    left = pending_units(plan, str(tmp_path))
    commit(tmp_path, names(4), seed_of)
    assert pending(left, tmp_path) == names(3, 5)
    os.unlink(tmp_path / "data" / first)
    assert pending(plan, tmp_path) == names(0, 1, 3, 5)
    assert len(list_parts(str(tmp_path))) == 2


def test_what_is_done_and_not_planned(tmp_path: Path, seed_of: Any) -> None:
    commit(tmp_path, names(9, 1), seed_of)
    commit(tmp_path, names(8, 9), seed_of)
    fail(tmp_path, names(7, 2))
    plan = plan_of(names(1, 2, 3), seed_of)
    assert find_done(str(tmp_path), plan).outside(plan).to_pylist() == names(7, 8, 9)
    everything = plan_of(names(*range(10)), seed_of)
    assert find_done(str(tmp_path), everything).outside(everything).to_pylist() == []


def test_a_part_of_a_plan_is_told_apart_as_the_whole(tmp_path: Path, seed_of: Any) -> None:
    plan = plan_of(names(1, 2), seed_of)
    commit(tmp_path, names(1), seed_of)
    rest = pending_units(plan, str(tmp_path))
    assert pending(rest, tmp_path) == names(2)
    assert pending(plan.slice(1, 1), tmp_path) == names(2)


def test_an_empty_plan_and_an_empty_store(tmp_path: Path, seed_of: Any) -> None:
    assert pending(plan_of([], seed_of), tmp_path) == []
    commit(tmp_path, names(1), seed_of)
    plan = plan_of([], seed_of)
    assert find_done(str(tmp_path), plan).outside(plan).to_pylist() == names(1)


def test_audio_is_added_up_without_rounding(seed_of: Any) -> None:
    assert plan_of(names(*range(10)), seed_of).audio_seconds == 1.0
