"""Sixty-four actors on the logical CPUs of one machine, with a model that only sleeps: what scheduling costs them.

Everything but the model is the real thing: `run_passes`, Ray Data, decoding tasks, the model stage, commits. Decoding
gives silence at once, and the model's tensor is when it worked: where each microbatch began and ended. The model does
not import torch, so that an actor takes 0.1 GB.

Ray runs its workers at a low priority (nice 15). Where others use the machine, RAY_worker_niceness=0 in the environment
has the actors start in a quarter of the time.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.report import Row
from workers.tensor_column import TensorColumn

ACTORS = 64
MICROBATCH = 8
SLEEP_SECONDS = 0.05
SAMPLES = 1_600
DECODE_TASKS = 8
"""At once: one for each logical CPU that the actors leave. Two, each a block, kept fifteen actors busy."""
START_SECONDS = 900
"""No block goes to an actor before all are there: they start at their leisure, outside what is measured."""


class SleepingSpec:
    """Settings of a worker that sleeps."""

    microbatch = MICROBATCH

    def outputs(self, num_samples: int, channels: int) -> tuple[TensorColumn, ...]:  # noqa: ARG002
        """When it worked on a unit, in seconds of the clock, and in which process."""
        return (TensorColumn(name="worked", shape=(3,), dtype="float64", description="began, ended, process"),)


class SleepingWorker:
    """Sleeps for each microbatch, as a model on a GPU keeps its process waiting."""

    def __init__(self, spec: SleepingSpec, threads: int) -> None:
        """Nothing to load."""

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Waits, and says when."""
        worked = np.empty((len(batch["waveform"]), 3))
        for start in range(0, len(worked), MICROBATCH):
            began = time.time()
            time.sleep(SLEEP_SECONDS)
            worked[start : start + MICROBATCH] = began, time.time(), os.getpid()
        return {"worked": worked}


def silence(units: pa.Table) -> pa.Table:
    """Units with silence for a waveform."""
    from pipeline.decode import WAVEFORM
    from pipeline.failure import with_failures

    zeros = pa.py_buffer(np.zeros((units.num_rows, SAMPLES), np.float32))
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4 * SAMPLES), units.num_rows, [None, zeros])
    return with_failures(units.append_column(WAVEFORM, column), [None] * units.num_rows)


def plan_of(num_units: int) -> Any:
    """Units of one length."""
    from pipeline.plan import PlanSettings, build_plan
    from pipeline.segment_spec import SegmentSpec
    from pipeline.source.items import whole_files
    from workers.audio.decode_spec import DecodeSpec

    names = [f"{number:08d}" for number in range(num_units)]
    items = whole_files(names, names).append_column("_duration_seconds", [np.full(num_units, SAMPLES / 16_000)])
    settings = PlanSettings(
        segment=SegmentSpec(length_seconds=SAMPLES / 16_000),
        decode=DecodeSpec(sample_rate=16_000),
        alignment_samples=1,
        min_samples=1,
        seed=0,
    )
    return build_plan(items, None, settings)


def measure_actors(
    folder: Path, *, seconds: float, units_per_block: int | None = None, actors: int = ACTORS
) -> list[Row]:
    """Runs a job that takes the actors so many seconds; gives the share of them in which they were at work.

    Twice: in steady state (`busy_share`), and from the first microbatch of all to the last, where at the end actors
    wait for the last blocks of others.
    """
    import ray.data

    from pipeline.cluster import LOOPBACK, tolerant_ray_data
    from pipeline.graph import Stages
    from pipeline.passes import run_passes
    from pipeline.placement import resolve_placement
    from pipeline.placement_spec import PlacementSpec
    from pipeline.saved_plan import save_plan
    from pipeline.store import LatentStore
    from pipeline.store.schema import store_schema

    store, spec = str(folder), SleepingSpec()
    plan = plan_of(int(seconds * actors / SLEEP_SECONDS) * MICROBATCH)
    save_plan(store, plan, None)
    stages = Stages(
        decode=silence,
        load_worker=SleepingWorker,
        worker=spec,
        schema=store_schema(spec.outputs(SAMPLES, 1), pa.schema([]), variable_length=False),
        variable_length=False,
    )
    cpus = actors + DECODE_TASKS
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address=LOOPBACK,
    )
    try:
        placement = resolve_placement(
            PlacementSpec(actors=actors, cpus_per_actor=1, decode_tasks=DECODE_TASKS, units_per_block=units_per_block),
            cpus=cpus,
            gpus=0,
            num_units=plan.num_rows,
            unit_bytes=4 * SAMPLES,
            stored_bytes=24,
            microbatch=MICROBATCH,
        )
        placement = replace(placement, write_tasks=1, threads_per_actor=1)
        started = time.time()
        with tolerant_ray_data():
            ray.data.DataContext.get_current().wait_for_min_actors_s = START_SECONDS
            run_passes(plan, store, stages, placement, on_pass=lambda *_: None, on_receipt=lambda _: None)
    finally:
        ray.shutdown()
    worked = np.concatenate([batch["worked"] for batch in LatentStore(store).iter_batches(65_536, ["worked"])])
    busy, wall = busy_share(worked, actors)
    total = float(worked[:, 1].max() - worked[:, 0].min())
    worked_seconds = float(np.diff(np.unique(worked, axis=0)[:, :2]).sum())
    case = f"{actors} actors, {SLEEP_SECONDS * 1e3:g} ms per microbatch, blocks of {placement.units_per_block} units"
    return [
        Row(case=case, what="busy", unit="%", value=100 * busy),
        Row(case=case, what="measured over", unit="s", value=wall),
        Row(case=case, what="busy, ramp and end included", unit="%", value=100 * worked_seconds / (actors * total)),
        Row(case=case, what="measured over", unit="s", value=total),
        Row(case=case, what="units", unit="1/s", value=len(worked) / total),
        Row(case=case, what="start-up", unit="s", value=float(worked[:, 0].min() - started)),
    ]


def busy_share(worked: np.ndarray[Any, Any], actors: int) -> tuple[float, float]:
    """Share of the actors' time spent in the model while all of them are there and there is work for all.

    Args:
        worked: when and where the microbatch of each unit was computed: began, ended, process; `[units, 3]`.
        actors: how many there should be.

    Returns:
        The share, and the seconds that it was taken over: from when the last actor began its first microbatch to when
        the first actor ended its last one.
    """
    spans = np.unique(worked, axis=0)
    processes = np.unique(spans[:, 2])
    assert len(processes) == actors, f"{len(processes)} of {actors} actors worked"
    first = max(spans[spans[:, 2] == process, 0].min() for process in processes)
    last = min(spans[spans[:, 2] == process, 1].max() for process in processes)
    inside = np.clip(spans[:, :2], first, last)
    return float((inside[:, 1] - inside[:, 0]).sum() / (actors * (last - first))), float(last - first)
