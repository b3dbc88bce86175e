"""What workers give for a block as the Arrow columns of a store."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.store.schema import AUDIO, DURATION_SECONDS, SAMPLE_ID, SHAPE_SUFFIX, audio_rates
from workers.audio_column import AudioColumn
from workers.column import Column
from workers.label_column import LabelColumn
from workers.media.flac import encode_flac
from workers.number_column import NumberColumn
from workers.tensor_column import TensorColumn

_SHAPE = pa.list_(pa.field("item", pa.int32(), nullable=False))
_ROUNDING = 1e-6
"""A length in seconds is this far from a whole number of steps by floating point alone."""


def column_bytes(column: Column) -> int:
    """Bytes of one row's value; at most, where it is compressed."""
    itemsize = 2 if isinstance(column, AudioColumn) else np.dtype(column.dtype).itemsize
    return math.prod(column.shape) * itemsize


def column_arrays(
    column: Column, values: NDArray[Any], *, variable_length: bool, seconds: NDArray[np.float64] | None = None
) -> dict[str, pa.Array]:
    """The columns of a block that hold `values`, sounds still as samples; see `with_encoded_audio`.

    Args:
        column: what they are.
        values: [rows, *shape], C-contiguous, of the column's dtype, little-endian.
        variable_length: whether rows of other blocks may have another shape.
        seconds: lengths of the units, [rows], for tensors that end with theirs.

    Returns:
        Arrow arrays by column name.
    """
    match column:
        case TensorColumn():
            if column.steps_per_second is not None and seconds is not None:
                return _ending_arrays(column, values, np.ceil(seconds * column.steps_per_second - _ROUNDING))
            return tensor_arrays(column, values, variable_length=variable_length)
        case AudioColumn():
            return {column.name: _binary(values)}
        case NumberColumn():
            return {column.name: pa.array(values, pa.float64(), mask=np.isnan(values))}
        case LabelColumn():
            return {column.name: pa.array(column.labels, pa.string()).take(pa.array(values))}


def with_encoded_audio(block: pa.Table, schema: pa.Schema) -> pa.Table:
    """The block with its sounds as FLAC, each as long as its unit is.

    Args:
        block: with columns as `column_arrays` gives them.
        schema: of the store.
    """
    for name, (sample_rate, num_channels) in audio_rates(schema).items():
        rows = zip(block[name], block[DURATION_SECONDS].to_pylist(), block[SAMPLE_ID].to_pylist(), strict=True)
        sounds = []
        for samples, seconds, sample_id in rows:
            waveform = np.frombuffer(samples.as_buffer(), np.float32).reshape(num_channels, -1)
            flac = encode_flac(waveform[:, : round(seconds * sample_rate)], sample_rate)
            sounds.append({"bytes": flac, "path": f"{sample_id}.flac"})
        block = block.set_column(block.column_names.index(name), name, pa.array(sounds, AUDIO))
    return block


def tensor_arrays(column: TensorColumn, values: NDArray[Any], *, variable_length: bool) -> dict[str, pa.Array]:
    """The columns that keep `values`, over the same memory.

    Args:
        column: name, shape and dtype of one row's tensor.
        values: [rows, *shape], C-contiguous, of the column's dtype, little-endian.
        variable_length: whether rows of other blocks may have another shape.

    Returns:
        Arrow arrays by column name: the tensor, and its `<name>_shape` where lengths vary.
    """
    if not variable_length:
        data = pa.py_buffer(values)
        return {
            column.name: pa.FixedSizeBinaryArray.from_buffers(pa.binary(values[0].nbytes), len(values), [None, data])
        }
    shapes = pa.array([list(column.shape)] * len(values), _SHAPE)
    return {column.name: _binary(values), column.name + SHAPE_SUFFIX: shapes}


def _ending_arrays(column: TensorColumn, values: NDArray[Any], ends: NDArray[np.float64]) -> dict[str, pa.Array]:
    """Like `tensor_arrays` of varying lengths, of each row the first `ends` entries of the last axis."""
    kept = [row[..., : int(end)] for row, end in zip(values, ends, strict=True)]
    return {
        column.name: pa.array([row.tobytes() for row in kept], pa.binary()),
        column.name + SHAPE_SUFFIX: pa.array([list(row.shape) for row in kept], _SHAPE),
    }


def _binary(values: NDArray[Any]) -> pa.Array:
    """Rows as binary values over the same memory."""
    rows, row_bytes = len(values), values[0].nbytes
    offsets = np.arange(rows + 1, dtype=np.int64) * row_bytes
    if offsets[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"{rows} values of {row_bytes} bytes exceed 2 GiB in one block; set placement.units_per_block")
    return pa.BinaryArray.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(values)]
    )
