"""What the model stage makes of memory that runs out: marked rows, or failures that name it; never a lost block."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline.commit import RECEIPT_SCHEMA, Commit
from pipeline.decode import WAVEFORM
from pipeline.failure import BlockFailure, read_failures, with_failures
from pipeline.model_stage import ModelStage
from pipeline.plan import UNIT_COLUMNS
from pipeline.store.schema import store_schema
from pipeline.torch_worker import TorchWorker
from workers.microbatch import in_microbatches
from workers.tensor_column import TensorColumn

SAMPLES = 4
COLUMN = TensorColumn(name="copy", shape=(SAMPLES,), dtype="float32", description="the waveform")


class CopySpec:
    """Settings of a worker that gives its waveform back."""

    def __init__(self, room: int = 100, *, in_batches: bool = True) -> None:
        self.microbatch = 8
        self.room = room
        self.in_batches = in_batches

    def outputs(self, num_samples: int, channels: int) -> tuple[TensorColumn, ...]:  # noqa: ARG002
        return (COLUMN,)


def load_copy(spec: CopySpec) -> Any:
    """A worker on a device with room for so many rows."""

    def compute(waveform: torch.Tensor) -> torch.Tensor:
        if len(waveform) > spec.room:
            raise RuntimeError("CUDA error: out of memory")
        return waveform[:, 0].clone()[None]

    def worker(batch: Any) -> Any:
        if not spec.in_batches:
            return {"copy": batch["waveform"][:, 0]}
        computed = in_microbatches(compute, batch["waveform"], size=spec.microbatch)
        return {"copy": computed.values[0], "microbatch": computed.sizes}

    return worker


def block_of(count: int, failed: int | None = None) -> pa.Table:
    names = [f"{number:03d}" for number in range(count)]
    values: dict[str, Any] = {"sample_id": names, "source": names, "_path": names}
    defaults = {"_bucket_samples": SAMPLES, "_bucket_channels": 1, "_num_samples": SAMPLES, "duration_seconds": 1.0}
    for field in UNIT_COLUMNS:
        values.setdefault(field.name, [None if field.nullable else defaults.get(field.name, 0)] * count)
    waveforms = np.arange(count * SAMPLES, dtype=np.float32)
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4 * SAMPLES), count, [None, pa.py_buffer(waveforms)])
    failures = [
        BlockFailure(stage="decode", error_type="MediaError", reason="cut") if row == failed else None
        for row in range(count)
    ]
    return with_failures(pa.table(values, schema=UNIT_COLUMNS).append_column(WAVEFORM, column), failures)


def compute(spec: CopySpec, block: pa.Table) -> pa.Table:
    return ModelStage(partial(TorchWorker, load_copy), spec, torch.get_num_threads(), False)(block)


def commit(store: Path, block: pa.Table) -> pa.Table:
    """Writes the block; gives what the store holds, in order of id."""
    schema = store_schema([COLUMN], pa.schema([]), variable_length=False)
    receipt = Commit(str(store), schema)(block)
    assert receipt.schema == RECEIPT_SCHEMA
    assert receipt["store_error"].to_pylist() == [""]
    return pq.read_table(store / "data").sort_by("sample_id")


def test_rows_of_a_reduced_microbatch_are_marked_and_otherwise_the_same(tmp_path: Path) -> None:
    block = block_of(11, failed=5)
    usual = commit(tmp_path / "a", compute(CopySpec(), block))
    reduced = commit(tmp_path / "b", compute(CopySpec(room=4), block))
    assert usual["microbatch"].to_pylist() == [8] * 10
    assert reduced["microbatch"].to_pylist() == [4] * 10
    assert usual.drop_columns(["microbatch"]).equals(reduced.drop_columns(["microbatch"]))  # its digests too


def test_a_worker_that_knows_no_microbatch_has_the_jobs(tmp_path: Path) -> None:
    stored = commit(tmp_path, compute(CopySpec(in_batches=False), block_of(3)))
    assert stored["microbatch"].to_pylist() == [8] * 3


def test_a_block_that_fits_in_no_size_is_tried_again_in_smaller_ones() -> None:
    failures = read_failures(compute(CopySpec(room=0), block_of(3, failed=0)))
    assert failures[0] is not None
    assert failures[0].stage == "decode"
    for failure in failures[1:]:
        assert failure is not None
        assert (failure.stage, failure.error_type, failure.isolate) == ("model", "NoMemoryError", True)
        assert failure.reason.startswith("out of memory even with one row at a time (8 is the job's microbatch)")
