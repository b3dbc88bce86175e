"""One pass as a Ray Data graph.

    1. units     spans: row numbers of the plan (`pipeline.blocks`)
    2. decode    CPU tasks; media files → waveforms                          1 → its blocks, one by one
    3. model     actors that hold the model; waveforms → tensors             1 → 1
    4. commit    light tasks; gather blocks into one file of the store       n → 1 receipt

Ray Data fuses neighbouring stages whose resources are equal. Decoding fused into the model actor would run serially
with the model, so the CPU shares of stages 2 and 3 always differ (see `Placement.decode_cpus`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import ray.data

from pipeline.blocks import blocks_per_span, form_spans
from pipeline.commit import Commit, Receipt
from pipeline.model_stage import ArrayWorker, Batch, ModelStage, WorkerSpec
from pipeline.placement import WRITE_CPUS, Placement
from pipeline.placement_spec import ActorPool
from pipeline.planned import Plan, Rows

RETRIES = 1
"""Ray's own retries of a task whose process died. What fails again is left to the pass loop, which isolates it."""

ROW = "_row"
"""Column of a span: where in the plan its units are."""
_SAMPLED_ROWS = 100
MIN_BLOCK_BYTES = 1 << 20
"""Smaller blocks of one span are not worth travelling alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What a job kind puts into the graph."""

    decode: Callable[[pa.Table], pa.Table]
    """Units of one shape bucket → the same rows with their waveforms."""
    load_worker: Callable[[Any, int], ArrayWorker]
    """Runs in each actor: settings and threads → loaded worker."""
    worker: WorkerSpec
    schema: pa.Schema
    """Of the store's parts."""
    variable_length: bool
    batch: Batch | None = None
    """What makes of a block what the worker takes; waveforms if none."""
    decodes: bool = True
    """Whether units become waveforms before the worker."""


def build_graph(
    pending: Plan, stages: Stages, placement: Placement, store: str, *, isolate: bool = False
) -> ray.data.Dataset:
    """Puts the stages together; nothing runs until the receipts are read.

    Args:
        pending: what to compute.
        stages: how.
        placement: where.
        store: where the results go.
        isolate: give each task and actor one block at a time, so that one that dies takes no innocent block along.
    """
    pool = placement.actors
    size = {"min_size": pool.min, "max_size": pool.max} if isinstance(pool, ActorPool) else {"size": pool}
    # What is not decoded is small: Ray would put the blocks of a span together again.
    in_span = 1 if isolate or not stages.decodes else blocks_per_span(pending.num_rows, placement.units_per_block)
    spans = form_spans(pending, placement.units_per_block, blocks_per_span=in_span)
    units = ray.data.from_arrow([pa.table({ROW: pending.positions[span]}) for span in spans])
    units.context.target_max_block_size = _block_bytes(pending, placement.units_per_block)
    decoded = units.map_batches(
        partial(decode_span, rows=pending.rows, decode=stages.decode, units_per_block=placement.units_per_block),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=placement.decode_cpus,
        compute=ray.data.TaskPoolStrategy(size=placement.decode_tasks),
        max_retries=RETRIES,
    )
    computed = decoded.map_batches(
        ModelStage,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_kwargs={
            "load": stages.load_worker,
            "spec": stages.worker,
            "threads": placement.threads_per_actor,
            "variable_length": stages.variable_length,
            "batch": stages.batch,
        },
        num_cpus=placement.cpus_per_actor,
        num_gpus=placement.gpus_per_actor or None,
        compute=ray.data.ActorPoolStrategy(**size, max_tasks_in_flight_per_actor=1 if isolate else 4),
        max_restarts=-1,
        max_task_retries=RETRIES,
    )
    return computed.map_batches(
        Commit(store, stages.schema),
        batch_size=None if isolate else placement.units_per_file,
        batch_format="pyarrow",
        num_cpus=WRITE_CPUS,
        compute=ray.data.TaskPoolStrategy(size=placement.write_tasks),
        max_retries=RETRIES,
    )


def decode_span(
    span: pa.Table, rows: Rows, decode: Callable[[pa.Table], pa.Table], units_per_block: int
) -> Iterator[pa.Table]:
    """Decodes a span block by block; each goes on to the model while the next is decoded.

    Args:
        span: numbers of rows of the plan, of one shape bucket.
        rows: all rows of the plan.
        decode: what decodes a block.
        units_per_block: units of one at most.
    """
    units = rows.read(span[ROW].to_numpy(), rows.schema.names)
    for start in range(0, units.num_rows, units_per_block):
        yield decode(units.slice(start, units_per_block))


def _block_bytes(pending: Plan, units_per_block: int) -> int:
    """Bytes at which Ray hands a block on.

    Ray gathers what a task yields until it passes this size, and cuts what is half as large again. Three quarters of
    the largest block lie between: each block that is decoded travels alone, and whole; smaller ones of other shape
    buckets may travel together, two or three of them.
    """
    few = pending.slice(0, _SAMPLED_ROWS).table()
    in_plan: int = few.nbytes // max(1, few.num_rows)
    decoded = max((4 * samples * channels for samples, channels in pending.shapes), default=0)
    return max(MIN_BLOCK_BYTES, (decoded + in_plan) * units_per_block * 3 // 4)


def run_graph(graph: ray.data.Dataset) -> Iterator[Receipt]:
    """Runs a pass, giving each receipt as soon as its file is committed.

    Blocks that fail give no receipt: the pass loop finds their units still pending.
    """
    for batch in graph.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for row in batch.to_pylist():
            yield Receipt(**row)
