"""Waveforms → tensors: the model stage, run as actors that each hold one worker."""

import functools
import os
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.decode import WAVEFORM
from pipeline.failure import BlockFailure, healthy, read_failures, with_failures
from pipeline.sides import side_lengths
from pipeline.store.columns import column_arrays
from pipeline.store.schema import MICROBATCH
from workers.column import Column
from workers.metrics.metric_names import PAIR_STATUSES
from workers.number_column import NumberColumn

if TYPE_CHECKING:
    from torch import Tensor


class Worker(Protocol):
    """What a worker class gives once it is loaded: any number of rows in, as many rows out."""

    def __call__(self, batch: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
        """Computes one block.

        Besides the tensors there may be `microbatch` int32 [n], the rows that were computed at once.
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

    def __init__(self, load: Callable[[Any], Worker], spec: WorkerSpec, threads: int, variable_length: bool) -> None:
        import torch

        torch.set_num_threads(threads)
        self._variable_length = variable_length
        self._worker = load(spec)
        self._outputs = functools.cache(spec.outputs)
        self._microbatch = spec.microbatch
        self._text_column: str | None = getattr(spec, "text_column", None)  # most kinds take no texts

    def __call__(self, block: pa.Table) -> pa.Table:
        """Replaces the waveform column by the worker's tensors and the number of rows that were computed at once.

        Rows that failed before pass through untouched. When the worker raises, all units of the block are marked to be
        tried again in smaller ones.
        """
        from workers.microbatch import is_out_of_memory

        failures = read_failures(block)
        rows = np.flatnonzero(healthy(block).to_numpy())
        channels, samples = block["_bucket_channels"][0].as_py(), block["_bucket_samples"][0].as_py()
        columns = self._outputs(samples, channels)
        tensors: Mapping[str, Tensor] = {}
        if len(rows):
            whole = block if len(rows) == block.num_rows else block.take(pa.array(rows))
            try:
                tensors = self._worker(as_batch(whole, channels, samples, self._text_column))
            except Exception as error:  # noqa: BLE001 (whatever a model raises may be a fact about these units)
                if "CUDA error" in str(error) and not is_out_of_memory(error):
                    os._exit(1)  # the context is lost: every later block would fail here, and a new actor will not
                failure = BlockFailure(
                    stage="model",
                    error_type=type(error).__name__,
                    reason=" ".join(str(error).split()),
                    isolate=True,
                )
                for row in rows:
                    failures[row] = failure
        sizes = np.full(block.num_rows, self._microbatch, np.int32)
        if MICROBATCH in tensors:
            sizes[rows] = tensors[MICROBATCH].numpy()
        result = block.drop_columns([WAVEFORM]).append_column(MICROBATCH, pa.array(sizes))
        for column in columns:
            values = np.zeros((block.num_rows, *column.shape), column.dtype)
            if column.name in tensors:
                computed = _cast(tensors[column.name], column)
                if not (isinstance(column, NumberColumn) or getattr(column, "may_be_undefined", False)):
                    _mark_nonfinite(column, computed, rows, failures)
                values[rows] = computed
            for name, array in column_arrays(column, values, variable_length=self._variable_length).items():
                result = result.append_column(name, array)
        return with_failures(result, failures)


def as_batch(block: pa.Table, channels: int, samples: int, text_column: str | None = None) -> dict[str, "Tensor"]:
    """Tensors over the block's own memory: waveform [n, C, T], num_samples [n], seed [n] (uint64 bits as int64).

    Of pairs also `pair_status` int8 [n], places in PAIR_STATUSES, and `side_samples` int64 [n, 2], the true lengths of
    reference and candidate, -1 where there is none. Where there is a `text_column`, `text` uint8 [n, L], see
    `workers.text_rows`.
    """
    import torch

    from workers.text_rows import texts_to_rows

    waveform = block[WAVEFORM].combine_chunks()
    values = np.frombuffer(waveform.buffers()[1], np.float32)[waveform.offset * channels * samples :]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        batch = {
            "waveform": torch.from_numpy(values[: len(waveform) * channels * samples].reshape(-1, channels, samples)),
            "num_samples": torch.from_numpy(block["_num_samples"].to_numpy()),
            "seed": torch.from_numpy(block["seed"].to_numpy().view(np.int64)),
        }
    if "_pair_status" in block.column_names:
        places = pc.index_in(block["_pair_status"], value_set=pa.array(PAIR_STATUSES))
        batch["pair_status"] = torch.from_numpy(places.to_numpy().astype(np.int8))
        batch["side_samples"] = torch.from_numpy(side_lengths(block))
    if text_column is not None:
        batch["text"] = texts_to_rows(block[text_column].to_pylist())
    return batch


def _cast(tensor: "Tensor", column: Column) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is reported as such
        return tensor.numpy().astype(column.dtype, copy=False)


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
