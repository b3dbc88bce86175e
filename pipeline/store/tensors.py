"""Batches of tensors as the Arrow columns of a store."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.store.schema import SHAPE_SUFFIX
from workers.tensor_column import TensorColumn


def tensor_bytes(column: TensorColumn) -> int:
    """Bytes of one row's tensor."""
    return math.prod(column.shape) * np.dtype(column.dtype).itemsize


def tensor_arrays(column: TensorColumn, values: NDArray[Any], *, variable_length: bool) -> dict[str, pa.Array]:
    """The columns that keep `values`, over the same memory.

    Args:
        column: name, shape and dtype of one row's tensor.
        values: [rows, *shape], C-contiguous, of the column's dtype, little-endian.
        variable_length: whether rows of other blocks may have another shape.

    Returns:
        Arrow arrays by column name: the tensor, and its `<name>_shape` where lengths vary.
    """
    rows, row_bytes = len(values), values[0].nbytes
    data = pa.py_buffer(values)
    if not variable_length:
        return {column.name: pa.FixedSizeBinaryArray.from_buffers(pa.binary(row_bytes), rows, [None, data])}
    offsets = np.arange(rows + 1, dtype=np.int64) * row_bytes
    if offsets[-1] > np.iinfo(np.int32).max:
        raise ValueError(
            f"{rows} tensors of {row_bytes} bytes exceed 2 GiB in one block; set placement.units_per_block"
        )
    binary = pa.BinaryArray.from_buffers(pa.binary(), rows, [None, pa.py_buffer(offsets.astype(np.int32)), data])
    axis = pa.field("item", pa.int32(), nullable=False)
    shapes = pa.array([list(column.shape)] * rows, pa.list_(axis))
    return {column.name: binary, column.name + SHAPE_SUFFIX: shapes}
