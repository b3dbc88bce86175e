"""Waveforms or prompts → what the store keeps of them: the model stage, run as actors that each hold one worker."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.decode import WAVEFORM
from pipeline.failure import BlockFailure, healthy, read_failures, with_failures
from pipeline.store.columns import column_arrays
from pipeline.store.schema import DURATION_SECONDS, MICROBATCH
from workers.column import Column
from workers.number_column import NumberColumn
from workers.tensor_column import TensorColumn

ERRORS = "errors"
Batch = Callable[[pa.Table, int, int], Mapping[str, Any]]
"""Makes of a block, and the channels and samples of its shape bucket, what its worker takes."""


class ArrayWorker(Protocol):
    """A loaded worker: any number of rows in, as many rows out. One of tensors becomes one in `TorchWorker`."""

    def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Computes one block, given as its `Batch` makes it: arrays [n, ...], and lists of n texts.

        Besides the columns there may be `microbatch` int32 [n], the rows that were computed at once, and `errors`,
        for each row the exception that says why it cannot be computed, None where it can.
        """
        ...


class WorkerSpec(Protocol):
    """Settings of a worker that say what it will give."""

    @property
    def microbatch(self) -> int:
        """Rows that the worker computes at once, where memory allows."""
        ...

    def outputs(self, num_samples: int, channels: int) -> tuple[Column, ...]:
        """What there is for a unit of `channels` × `num_samples`."""
        ...


class ModelStage:
    """Runs a Ray-free worker over Arrow blocks."""

    def __init__(
        self,
        load: Callable[[Any, int], ArrayWorker],
        spec: WorkerSpec,
        threads: int,
        variable_length: bool,
        batch: Batch | None = None,
    ) -> None:
        self._variable_length = variable_length
        self._worker = load(spec, threads)
        self._outputs = functools.cache(spec.outputs)
        self._microbatch = spec.microbatch
        self._batch = batch or as_batch

    def __call__(self, block: pa.Table) -> pa.Table:
        """Replaces the waveform column by the worker's tensors and the number of rows that were computed at once.

        Rows that failed before pass through untouched. When the worker raises, all units of the block are marked to be
        tried again in smaller ones.
        """
        failures = read_failures(block)
        rows = np.flatnonzero(healthy(block).to_numpy())
        channels, samples = block["_bucket_channels"][0].as_py(), block["_bucket_samples"][0].as_py()
        columns = self._outputs(samples, channels)
        computed: Mapping[str, NDArray[Any]] = {}
        if len(rows):
            whole = block if len(rows) == block.num_rows else block.take(pa.array(rows))
            try:
                computed = self._worker(self._batch(whole, channels, samples))
            except Exception as error:  # noqa: BLE001 (whatever a model raises may be a fact about these units)
                failure = BlockFailure(
                    stage="model",
                    error_type=type(error).__name__,
                    reason=" ".join(str(error).split()),
                    isolate=True,
                )
                for row in rows:
                    failures[row] = failure
        for row, problem in zip(rows, computed.get(ERRORS, ()), strict=False):
            if problem is not None:
                reason = " ".join(str(problem).split())
                failures[row] = BlockFailure(stage="model", error_type=type(problem).__name__, reason=reason)
        sizes = np.full(block.num_rows, self._microbatch, np.int32)
        if MICROBATCH in computed:
            sizes[rows] = computed[MICROBATCH]
        waveform = [name for name in (WAVEFORM,) if name in block.column_names]
        result = block.drop_columns(waveform).append_column(MICROBATCH, pa.array(sizes))
        seconds = block[DURATION_SECONDS].to_numpy()
        for column in columns:
            values = np.zeros((block.num_rows, *column.shape), column.dtype)
            if column.name in computed:
                cast = _cast(computed[column.name], column)
                if not (
                    isinstance(column, NumberColumn) or (isinstance(column, TensorColumn) and column.may_be_undefined)
                ):
                    _mark_nonfinite(column, cast, rows, failures)
                values[rows] = cast
            arrays = column_arrays(column, values, variable_length=self._variable_length, seconds=seconds)
            for name, array in arrays.items():
                result = result.append_column(name, array)
        return with_failures(result, failures)


def as_batch(block: pa.Table, channels: int, samples: int) -> dict[str, NDArray[Any]]:
    """Arrays over the block's own memory: waveform [n, C, T], num_samples [n], seed [n] (uint64 bits as int64)."""
    waveform = block[WAVEFORM].combine_chunks()
    values = np.frombuffer(waveform.buffers()[1], np.float32)[waveform.offset * channels * samples :]
    return {
        "waveform": values[: len(waveform) * channels * samples].reshape(-1, channels, samples),
        "num_samples": block["_num_samples"].to_numpy(),
        "seed": block["seed"].to_numpy().view(np.int64),
    }


def _cast(values: NDArray[Any], column: Column) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is reported as such
        return values.astype(column.dtype, copy=False)


def _mark_nonfinite(
    column: Column,
    values: np.ndarray[Any, np.dtype[Any]],
    rows: NDArray[np.int64],
    failures: list[BlockFailure | None],
) -> None:
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    for row in rows[~finite]:
        failures[row] = BlockFailure(
            stage="model", error_type="NonFinite", reason=f"non-finite values in {column.name} as {column.dtype}"
        )
