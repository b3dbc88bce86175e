"""One committed Parquet file of a store, opened for reading."""

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.store import location
from pipeline.store.page import plain_payload
from pipeline.store.schema import SHAPE_SUFFIX, has_varying_shape, tensor_columns


class DamagedPartError(ValueError):
    """A file under a committed name is not a whole Parquet file; the message names it and says what to do."""

    def __init__(self, path: str, num_bytes: int, reason: object) -> None:
        """Say which file, how long it is, and what is wrong with it."""
        super().__init__(
            f"{path} ({num_bytes:,} bytes) is damaged: {reason}. It was cut short or changed after it was written: "
            f"restore it from a copy, or delete it and run the job again, which makes just its units anew"
        )
        self.path = path


class Part:
    """A memory-mapped part: its footer is read on opening, its values where they are asked for."""

    def __init__(self, path: str) -> None:
        """Open a part.

        Raises:
            FileNotFoundError: There is no such file.
            DamagedPartError: It is not a whole Parquet file.
        """
        self.path = path
        self.buffer = location.map_file(path)
        self._file = _open(path, self.buffer)
        self.metadata: pq.FileMetaData = self._file.metadata
        self.schema: pa.Schema = self._file.schema_arrow
        groups = [self.metadata.row_group(group).num_rows for group in range(self.metadata.num_row_groups)]
        self.first_rows: NDArray[np.int64] = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)]).astype(np.int64)
        """First row of each row group, and the number of rows at the end; shape `[row groups + 1]`."""

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.metadata.num_rows)

    @cached_property
    def bytes(self) -> memoryview:
        """The whole file."""
        return memoryview(self.buffer).cast("B")

    def read(self, columns: list[str], row_group: int | None = None) -> pa.Table:
        """Columns of the whole part, or of one row group.

        Raises:
            DamagedPartError: The bytes do not decode.
        """
        groups = range(self.metadata.num_row_groups) if row_group is None else [row_group]
        try:
            return self._file.read_row_groups(groups, columns=columns, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise DamagedPartError(self.path, self.buffer.size, error) from error

    def value_offsets(self, tensor: str) -> NDArray[np.int64] | None:
        """Where in the file each row's tensor begins, `[rows]`, or none where values cannot be read in place.

        They can where a column chunk is a single page of plain, uncompressed values, as `PartWriter` writes them.
        """
        if self.schema.field(tensor).nullable:
            return None
        sizes = self.value_sizes(tensor)
        # A value of fixed width is its bytes alone; one of varying width has its length before it, in 4 bytes.
        prefix = 4 if has_varying_shape(self.schema, tensor) else 0
        steps = sizes + prefix
        offsets = np.empty(len(self), np.int64)
        column = self._leaf(tensor)
        for group in range(self.metadata.num_row_groups):
            rows = slice(int(self.first_rows[group]), int(self.first_rows[group + 1]))
            chunk = self.metadata.row_group(group).column(column)
            payload = plain_payload(self.bytes, chunk, int(steps[rows].sum()))
            if payload is None:
                return None
            offsets[rows] = payload + prefix + np.cumsum(steps[rows]) - steps[rows]
        return offsets

    def value_sizes(self, tensor: str) -> NDArray[np.int64]:
        """Bytes of each row's tensor, `[rows]`."""
        if not has_varying_shape(self.schema, tensor):
            return np.full(len(self), self.schema.field(tensor).type.byte_width, np.int64)
        itemsize = np.dtype(tensor_columns(self.schema)[tensor].dtype).itemsize
        return np.array([itemsize * int(np.prod(shape)) for shape in self.shapes(tensor)], np.int64)

    def shapes(self, tensor: str) -> list[tuple[int, ...]]:
        """Shape of each row's tensor, for a tensor of varying shape."""
        column = self.read([tensor + SHAPE_SUFFIX]).column(0)
        return [tuple(shape) for shape in column.to_pylist()]

    def _leaf(self, column: str) -> int:
        schema = self.metadata.schema
        return next(leaf for leaf in range(len(schema)) if schema.column(leaf).path == column)


def read_part_table(path: str, columns: list[str] | None = None) -> pa.Table:
    """A whole Parquet file as a table.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedPartError: It is not a whole Parquet file.
    """
    part = Part(path)
    return part.read(part.schema.names if columns is None else columns)


def _open(path: str, buffer: pa.Buffer) -> Any:
    try:
        return pq.ParquetFile(pa.BufferReader(buffer))
    except (OSError, pa.ArrowException) as error:
        raise DamagedPartError(path, buffer.size, error) from error
