"""A small mel job run as a plain loop in this process: all of `run_job` but Ray, so that tests of stores are quick."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.base import Job
from jobs.mel_job import MelJob
from jobs.run import run_job
from jobs.summary import Summary
from pipeline.blocks import form_blocks
from pipeline.commit import Commit, Receipt
from pipeline.graph import Stages
from pipeline.model_stage import ModelStage
from pipeline.pending import pending_units
from pipeline.placement import Placement
from pipeline.planned import Plan
from pipeline.store import LatentStore
from pipeline.store.schema import content_schema
from pipeline.store.writer import PartWriter


def mel_job(source: Path, output: Path | str, **changes: Any) -> MelJob:
    """1-s mels that overlap, four units in a block, each block a file of its own."""
    spec: dict[str, Any] = {
        "source": {"path": str(source)},
        "output": str(output),
        "mel": {"preset": "audioldm2"},
        "segment": {"length_seconds": 1.0, "hop_seconds": 0.75},
        "microbatch": 4,
        "placement": {"units_per_block": 4, "threads_per_actor": 1},
        "limits": {"max_failed_fraction": 1},
    }
    return MelJob.model_validate({**spec, **changes})


def make_mels(source: Path, output: Path | str, *, prune: bool = False, **changes: Any) -> Summary:
    """Runs that job."""
    return run_in_a_loop(mel_job(source, output, **changes), prune=prune)


def run_in_a_loop(job: Job, **options: Any) -> Summary:
    """`run_job` with one process for all stages."""
    with patch("jobs.run.run_passes", _passes), patch("jobs.run.ray_cluster", _no_cluster):
        return run_job(job, **options)


def change_tensor(store: Path, sample_id: str, by: float) -> None:
    """Adds to the first value of a unit's mel, in a part with sound digests and checksums."""
    schema = content_schema(LatentStore(store).schema)
    for path in (store / "data").glob("*.parquet"):
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            if row["sample_id"] == sample_id:
                values = np.frombuffer(row["mel"], np.float16).copy()
                values[0] += np.float16(by)
                row["mel"] = values.tobytes()
                content = pa.Table.from_pylist([{name: r[name] for name in schema.names} for r in rows], schema=schema)
                PartWriter(str(store), LatentStore(store).schema, durable=False).commit(content)
                return
    raise AssertionError(sample_id)


def _passes(
    plan: Plan,
    store: str,
    stages: Stages,
    placement: Placement,
    *,
    on_pass: Callable[[int, int], None],
    on_receipt: Callable[[Receipt], None],
    **_: Any,
) -> int:
    pending = pending_units(plan, store)
    on_pass(1, pending.num_rows)
    model = ModelStage(
        stages.load_worker, stages.worker, threads=1, variable_length=stages.variable_length, batch=stages.batch
    )
    commit = Commit(store, stages.schema)
    for block in form_blocks(pending.table(), placement.units_per_block):
        for row in commit(model(stages.decode(block))).to_pylist():
            assert not row["store_error"], row
            on_receipt(Receipt(**row))
    return 1


@contextmanager
def _no_cluster(_: Any) -> Iterator[None]:
    yield
