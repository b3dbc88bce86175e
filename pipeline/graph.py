"""One pass as a Ray Data graph.

    1. units     blocks of the plan                                          1 block → 1 block
    2. decode    CPU tasks; media files → waveforms                          1 → 1
    3. model     actors that hold the model; waveforms → tensors             1 → 1
    4. commit    light tasks; gather blocks into one file of the store       n → 1 receipt

Ray Data fuses neighbouring stages whose resources are equal. Decoding fused into the model actor would run serially
with the model, so the CPU shares of stages 2 and 3 always differ (see `Placement.decode_cpus`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray.data

from pipeline.commit import Commit, Receipt
from pipeline.model_stage import ModelStage, Worker, WorkerSpec
from pipeline.placement import WRITE_CPUS, Placement
from pipeline.placement_spec import ActorPool

RETRIES = 1
"""Ray's own retries of a task whose process died. What fails again is left to the pass loop, which isolates it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What a job kind puts into the graph."""

    decode: Callable[[pa.Table], pa.Table]
    """Units of one shape bucket → the same rows with their waveforms."""
    load_worker: Callable[[Any], Worker]
    worker: WorkerSpec
    schema: pa.Schema
    """Of the store's parts."""
    variable_length: bool


def build_graph(
    blocks: Sequence[pa.Table], stages: Stages, placement: Placement, store: str, *, isolate: bool = False
) -> ray.data.Dataset:
    """Puts the stages together; nothing runs until the receipts are read.

    Args:
        blocks: units of one shape bucket each.
        stages: what to compute.
        placement: where.
        store: where the results go.
        isolate: give each actor one block at a time, so that a dying actor takes no innocent block with it.
    """
    pool = placement.actors
    size = {"min_size": pool.min, "max_size": pool.max} if isinstance(pool, ActorPool) else {"size": pool}
    units = ray.data.from_arrow(list(blocks))
    decoded = units.map_batches(
        stages.decode,
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


def run_graph(graph: ray.data.Dataset) -> Iterator[Receipt]:
    """Runs a pass, giving each receipt as soon as its file is committed.

    Blocks that fail give no receipt: the pass loop finds their units still pending.
    """
    for batch in graph.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for row in batch.to_pylist():
            yield Receipt(**row)
