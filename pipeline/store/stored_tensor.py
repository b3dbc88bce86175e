"""One tensor column of one part, value by value."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.store.part import Part
from pipeline.store.schema import has_varying_shape, tensor_columns


class StoredTensor:
    """Gives the bytes of each row's tensor: a slice of the file where it is plain, else of a decoded row group."""

    def __init__(self, part: Part, name: str, decode: Callable[[int], pa.Array]) -> None:
        """Look at column `name` of `part`; `decode` gives the column's values in a row group, by its number."""
        column = tensor_columns(part.schema)[name]
        self.dtype: np.dtype[Any] = np.dtype(column.dtype).newbyteorder("<")
        varying = has_varying_shape(part.schema, name)
        self.shapes: list[tuple[int, ...]] | None = part.shapes(name) if varying else None
        """Shape of each row's tensor; none where all have `shape`."""
        self.shape = column.shape
        self.num_bytes = self.dtype.itemsize * math.prod(column.shape)
        """Bytes of a tensor of that shape."""
        self._offsets = part.value_offsets(name)
        self._sizes = part.value_sizes(name)
        self._part = part
        self._file = part.bytes
        self._first_rows = part.first_rows
        self._decode = decode

    def announce(self, rows: Iterable[int]) -> None:
        """Say which rows will be read next, so that those of a remote part are fetched together."""
        if self._offsets is not None:
            begins = ((self._offsets.item(row), self._sizes.item(row)) for row in rows)
            self._part.announce((begin, begin + size) for begin, size in begins)

    def raw(self, row: int) -> memoryview:
        """Bytes of a row's tensor, not copied."""
        if self._offsets is not None:
            begin = self._offsets.item(row)
            return self._file[begin : begin + self._sizes.item(row)]
        group = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        value = self._decode(group)[row - self._first_rows.item(group)]
        return memoryview(value.as_buffer()).cast("B")

    def value(self, row: int) -> NDArray[Any]:
        """A row's tensor, copied."""
        shape = self.shape if self.shapes is None else self.shapes[row]
        return np.frombuffer(self.raw(row), self.dtype).reshape(shape).copy()

    def span(self, start: int, stop: int) -> NDArray[Any]:
        """The tensors from `start` to `stop` (exclusive), `[rows, *shape]`, copied; not for varying shapes."""
        width = self._sizes.item(start)
        rows = np.empty((stop - start, width), np.uint8)
        if self._offsets is None:
            for row in range(start, stop):
                rows[row - start] = np.frombuffer(self.raw(row), np.uint8)
        else:
            offsets = self._offsets[start:stop]
            # Values lie back to back within a row group; copy each run at once.
            edges = np.flatnonzero(np.diff(offsets) != width) + 1
            for first, last in zip([0, *edges.tolist()], [*edges.tolist(), stop - start], strict=True):
                begin = offsets.item(first)
                source = self._file[begin : begin + (last - first) * width]
                rows[first:last] = np.frombuffer(source, np.uint8).reshape(-1, width)
        return rows.view(self.dtype).reshape(stop - start, *self.shape)
