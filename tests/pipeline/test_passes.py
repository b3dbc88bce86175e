"""The pass loop: what it does about units that fail, take their process with them, or hide behind a whole block."""

import ctypes
import os
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.cluster import tolerant_ray_data
from pipeline.commit import Receipt, Suspect
from pipeline.decode import WAVEFORM
from pipeline.failure import BlockFailure, with_failures
from pipeline.graph import Stages, build_graph, run_graph
from pipeline.passes import MANY_LEFT, PassError, _raise_if_elsewhere, next_size, run_passes
from pipeline.pending import pending_units
from pipeline.placement import Placement, resolve_placement
from pipeline.placement_spec import PlacementSpec
from pipeline.plan import UNIT_COLUMNS
from pipeline.planned import Plan
from pipeline.quarantine import read_quarantine
from pipeline.store.index import committed_ids
from pipeline.store.schema import store_schema
from workers.tensor_column import TensorColumn

pytestmark = pytest.mark.usefixtures("local_ray")

SAMPLES = 4


class CopySpec:
    """Settings of a worker that gives its waveform back, unless a unit's first sample names its fate."""

    microbatch = 2

    def __init__(self, fates: dict[int, str] | None = None) -> None:
        self.fates = fates or {}

    def outputs(self, num_samples: int, channels: int) -> tuple[TensorColumn, ...]:
        return (TensorColumn(name="copy", shape=(channels, num_samples), dtype="float32", description="the waveform"),)


def load_copy(spec: CopySpec, _: int) -> Any:
    def worker(batch: Any) -> Any:
        for number in batch["waveform"][:, 0, 0].tolist():
            fate = spec.fates.get(int(number))
            if fate == "exit":
                os._exit(1)
            if fate == "abort":
                os.abort()
            if fate == "segfault":
                ctypes.string_at(0)
            if fate == "raise":
                raise RuntimeError(f"unit {int(number)} is\nno good")
            if fate == "nan":
                batch = {**batch, "waveform": batch["waveform"] * np.where(batch["waveform"] == number, np.nan, 1.0)}
        return {"copy": batch["waveform"]}

    return worker


def fake_decode(
    units: pa.Table, deadly: tuple[int, ...] = (), samples: int = SAMPLES, unreachable_from: int = 1000
) -> pa.Table:
    """Waveforms that hold the unit's number, death for those who ask for it, and a store that does not answer."""
    numbers = np.array([int(name) for name in units["sample_id"].to_pylist()], np.float32)
    if set(deadly) & set(numbers.astype(int).tolist()):
        os._exit(1)
    waveforms = np.repeat(numbers, samples)
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4 * samples), len(numbers), [None, pa.py_buffer(waveforms)])
    silence = BlockFailure(stage="decode", error_type="StorageUnavailableError", reason="no answer", isolate=True)
    failures = [silence if number >= unreachable_from else None for number in numbers]
    return with_failures(units.append_column(WAVEFORM, column), failures)


def plan_of(count: int, samples: int = SAMPLES) -> Plan:
    names = [f"{number:03d}" for number in range(count)]
    values: dict[str, Any] = {"sample_id": names, "source": names, "_path": names}
    values |= {"_member": [None] * count, "_probe_error": [None] * count}
    defaults = {"_bucket_samples": samples, "_bucket_channels": 1, "_num_samples": samples, "duration_seconds": 1.0}
    for field in UNIT_COLUMNS:
        values.setdefault(field.name, [defaults.get(field.name, 0)] * count)
    return Plan.of(pa.table(values, schema=UNIT_COLUMNS))


def schema_of(samples: int) -> pa.Schema:
    return store_schema(CopySpec().outputs(samples, 1), pa.schema([]), variable_length=False)


def stages_of(fates: dict[int, str] | None = None, deadly: tuple[int, ...] = ()) -> Stages:
    spec = CopySpec(fates)
    return Stages(
        decode=partial(fake_decode, deadly=deadly),
        load_worker=load_copy,
        worker=spec,
        schema=schema_of(SAMPLES),
        variable_length=False,
    )


def placement(units_per_block: int = 8, *, actors: int = 1) -> Placement:
    return resolve_placement(
        PlacementSpec(actors=actors, units_per_block=units_per_block, threads_per_actor=1),
        cpus=4,
        gpus=0,
        num_units=40,
        unit_bytes=16,
        stored_bytes=16,
        microbatch=2,
    )


def run(
    store: Path, plan: Plan, stages: Stages, *, max_guilty: int = 0, actors: int = 1
) -> tuple[list[tuple[int, int]], list[Receipt]]:
    passes: list[tuple[int, int]] = []
    receipts: list[Receipt] = []
    with tolerant_ray_data():
        run_passes(
            plan,
            str(store),
            stages,
            placement(actors=actors),
            max_guilty=max_guilty,
            on_pass=lambda *numbers: passes.append(numbers),
            on_receipt=receipts.append,
        )
    return passes, receipts


def failures(store: Path) -> dict[str, dict[str, Any]]:
    return {row["sample_id"]: row for row in read_quarantine(str(store)).to_pylist()}


def stored(store: Path) -> set[str]:
    ids = committed_ids(str(store)).to_pylist()
    assert len(ids) == len(set(ids))
    return set(ids)


def names(*numbers: int) -> set[str]:
    return {f"{number:03d}" for number in numbers}


def test_decoding_and_the_model_are_operators_of_their_own(tmp_path: Path) -> None:
    graph = build_graph(plan_of(20), stages_of(), placement(4), str(tmp_path))
    with tolerant_ray_data():
        receipts = list(run_graph(graph))
    operators = [line.split(":")[0] for line in graph.stats().splitlines() if line.startswith("Operator ")]
    assert [name.split(" ", 2)[2] for name in operators] == [
        "FromArrow",
        "MapBatches(decode_span)",
        "MapBatches(ModelStage)",
        "MapBatches(Commit)",
    ]
    assert [receipt.num_units for receipt in receipts] == [4] * 5


@pytest.mark.parametrize("samples", [50_000, 4])
def test_large_jobs_begin_with_spans_of_blocks(tmp_path: Path, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a span travel one by one, whole and not gathered, unless they are tiny."""
    monkeypatch.setattr("pipeline.blocks.MAX_SPANS", 2)
    stages = replace(stages_of(), schema=schema_of(samples), decode=partial(fake_decode, samples=samples))
    graph = build_graph(plan_of(100, samples), stages, placement(8), str(tmp_path))
    with tolerant_ray_data():
        receipts = list(run_graph(graph))
    assert sum(receipt.num_units for receipt in receipts) == 100
    assert stored(tmp_path) == names(*range(100))
    decoding = graph.stats().partition("MapBatches(decode_span): ")[2]
    blocks = 13 if samples == 50_000 else 2  # spans of 56 and 44 units
    assert decoding.startswith(f"2 tasks executed, {blocks} blocks produced")


@pytest.mark.slow
def test_a_unit_that_kills_its_decoder_is_found_in_a_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.blocks.MAX_SPANS", 2)
    passes, _ = run(tmp_path, plan_of(100), stages_of(deadly=(13,)))
    assert stored(tmp_path) == names(*range(100)) - names(13)
    assert set(failures(tmp_path)) == {"013"}
    assert passes[-1][1] == 1


@pytest.mark.parametrize(
    ("fates", "actors"),
    [
        ({7: "segfault"}, 1),
        pytest.param({3: "segfault", 7: "exit", 16: "abort"}, 2, marks=pytest.mark.slow),
    ],
    ids=["one", "three"],
)
def test_units_that_kill_a_decoder_or_a_model_actor_are_isolated(
    tmp_path: Path, fates: dict[int, str], actors: int
) -> None:
    run(tmp_path, plan_of(20), stages_of(fates, deadly=(13,)), actors=actors)
    guilty = names(13, *fates)
    assert stored(tmp_path) == names(*range(20)) - guilty
    failed = failures(tmp_path)
    assert {name: row["stage"] for name, row in failed.items()} == dict.fromkeys(guilty, "crash")
    assert min(row["attempts"] for row in failed.values()) >= 2


@pytest.mark.slow
def test_when_nothing_comes_through_nothing_is_quarantined(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="none of 9 units came through, not even alone"):
        run(tmp_path, plan_of(9), stages_of(deadly=tuple(range(9))))
    assert not failures(tmp_path)


def test_a_store_that_stops_answering_costs_no_unit(tmp_path: Path) -> None:
    silent = replace(stages_of(), decode=partial(fake_decode, unreachable_from=8))
    with pytest.raises(PassError, match="12 of 12 units that are left cannot be read: no answer"):
        run(tmp_path, plan_of(20), silent)
    assert stored(tmp_path) == names(*range(8))
    assert not failures(tmp_path)


def test_an_error_of_the_model_costs_one_unit_and_keeps_its_words(tmp_path: Path) -> None:
    passes, _ = run(tmp_path, plan_of(20), stages_of({7: "raise"}))
    assert [count for _, count in passes] == [20, 8, 1]
    assert stored(tmp_path) == names(*range(20)) - names(7)
    [(name, row)] = failures(tmp_path).items()
    assert (name, row["stage"], row["error_type"]) == ("007", "model", "RuntimeError")
    assert row["reason"] == "unit 7 is no good"


def test_nan_from_the_model_costs_one_unit_at_once_which_is_not_tried_again(tmp_path: Path) -> None:
    passes, _ = run(tmp_path, plan_of(20), stages_of({7: "nan"}))
    assert len(passes) == 1
    assert stored(tmp_path) == names(*range(20)) - names(7)
    assert failures(tmp_path)["007"]["reason"] == "non-finite values in copy as float32"
    passes, _ = run(tmp_path, plan_of(20), stages_of())
    assert passes == []
    assert pc.count(committed_ids(str(tmp_path))).as_py() == 19


def test_a_model_that_fails_on_everything_stops_the_job(tmp_path: Path) -> None:
    broken = replace(stages_of(), load_worker=load_broken)
    with pytest.raises(PassError, match=r"all 20 units failed alike: RuntimeError: model broken"):
        run(tmp_path, plan_of(20), broken)
    assert not stored(tmp_path)
    assert not failures(tmp_path)


def load_broken(*_: Any) -> Any:
    def worker(_: Any) -> Any:
        raise RuntimeError("model broken")

    return worker


def test_a_store_that_cannot_be_written_stops_the_job(tmp_path: Path) -> None:
    other = store_schema(CopySpec().outputs(9, 1), pa.schema([]), variable_length=False)
    wrong = replace(stages_of(), schema=other)
    with pytest.raises(PassError, match=r"cannot be written: ValueError: .*'copy' as fixed_size_binary\[16\]"):
        run(tmp_path, plan_of(20), wrong)
    assert not failures(tmp_path)


def test_a_resumed_run_makes_just_what_is_missing_and_one_pass_is_enough_when_nothing_fails(tmp_path: Path) -> None:
    plan = plan_of(20)
    passes, receipts = run(tmp_path, plan.slice(5, 7), stages_of())
    assert passes == [(1, 7)]
    assert sum(receipt.num_units for receipt in receipts) == 7
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()}
    assert pending_units(plan, str(tmp_path)).num_rows == 13
    passes, receipts = run(tmp_path, plan, stages_of())
    assert passes == [(1, 13)]
    assert sum(receipt.num_units for receipt in receipts) == 13
    assert stored(tmp_path) == names(*range(20))
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()}
    assert before.items() <= after.items()


def test_blocks_shrink_once_units_have_to_be_told_apart() -> None:
    assert [next_size(size, 100, 7) for size in (64, 8, 3, 1)] == [8, 1, 1, 1]
    many = MANY_LEFT + 1
    assert next_size(64, 10 * many, many) == 64
    assert next_size(64, many, many) == next_size(64, 2 * many - 1, many) == 8


def suspects(count: int, error_type: str) -> dict[str, Suspect]:
    """Units that failed alike."""
    facts = {"stage": "decode", "error_type": error_type, "reason": "no luck"}
    return {f"u{i}": Suspect(sample_id=f"u{i}", **facts) for i in range(count)}  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("found", "num_left", "says"),
    [
        (suspects(60, "StorageUnavailableError"), 100, "60 of 100 units that are left cannot be read: no luck"),
        (suspects(100, "RuntimeError"), 100, None),
        ({}, 100, "100 units took their process with them, even alone"),
        (suspects(1000, "RuntimeError"), 1000, "none of 1000 units came through, not even alone"),
    ],
)
def test_what_broke_on_the_way_is_no_units_fault(found: dict[str, Suspect], num_left: int, says: str | None) -> None:
    with pytest.raises(PassError, match=says) if says else nullcontext():
        _raise_if_elsewhere(found, num_left, num_at_first=1000)


@pytest.mark.slow
def test_many_deadly_units_are_quarantined_where_that_many_may_fail(tmp_path: Path) -> None:
    deadly = tuple(range(0, 18, 2))  # nine: more than are believed by themselves
    with pytest.raises(PassError, match=r"9 units took .* allow for them in limits.max_failed_fraction"):
        run(tmp_path, plan_of(20), stages_of(deadly=deadly))
    assert not failures(tmp_path)
    run(tmp_path, plan_of(20), stages_of(deadly=deadly), max_guilty=9)
    assert set(failures(tmp_path)) == names(*deadly)
