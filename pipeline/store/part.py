"""One committed Parquet file of a store, opened for reading."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.store import location
from pipeline.store.page import header_range, plain_payload
from pipeline.store.remote_bytes import RemoteBytes
from pipeline.store.schema import SHAPE_SUFFIX, has_varying_shape, tensor_columns
from workers.files import StorageUnavailableError, retried


class DamagedPartError(ValueError):
    """A file under a committed name is not a whole Parquet file; the message names it and says what to do."""

    def __init__(self, path: str, num_bytes: int, reason: object) -> None:
        """Say which file, how long it is, and what is wrong with it."""
        super().__init__(
            f"{path} ({num_bytes:,} bytes) is damaged: {reason}. It was cut short or changed after it was written: "
            f"restore it from a copy, or run the job again, which sets it aside and makes just its units anew"
        )
        self.path = path


class Part:
    """A part, memory-mapped where it is local: its footer is read on opening, its values where they are asked for."""

    def __init__(self, path: str) -> None:
        """Open a part.

        Raises:
            FileNotFoundError: There is no such file.
            DamagedPartError: It is not a whole Parquet file.
            workers.files.StorageUnavailableError: Its store does not answer.
        """
        self.path = path
        self.bytes: memoryview | RemoteBytes
        """The whole file."""
        if location.is_local(path):
            self.bytes = memoryview(location.map_file(path)).cast("B")
        else:
            self.bytes = RemoteBytes(path)
        self._file = self._decoded(lambda: _open(self.bytes))
        self.metadata: pq.FileMetaData = self._file.metadata
        self.schema: pa.Schema = self._file.schema_arrow
        groups = [self.metadata.row_group(group).num_rows for group in range(self.metadata.num_row_groups)]
        self.first_rows: NDArray[np.int64] = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)]).astype(np.int64)
        """First row of each row group, and the number of rows at the end; shape `[row groups + 1]`."""

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.metadata.num_rows)

    def read(self, columns: list[str], row_group: int | None = None) -> pa.Table:
        """Columns of the whole part, or of one row group.

        Raises:
            DamagedPartError: The bytes do not decode.
        """
        groups = range(self.metadata.num_row_groups) if row_group is None else [row_group]
        return self._decoded(lambda: self._file.read_row_groups(groups, columns=columns, use_threads=False))

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
        groups = [slice(int(a), int(b)) for a, b in pairwise(self.first_rows)]
        chunks = [self.metadata.row_group(group).column(column) for group in range(len(groups))]
        payloads = [int(steps[rows].sum()) for rows in groups]
        self.announce(map(header_range, chunks, payloads))
        for rows, chunk, payload_bytes in zip(groups, chunks, payloads, strict=True):
            payload = plain_payload(self.bytes, chunk, payload_bytes)
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

    def announce(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Say which bytes will be looked at soon; where they are far away, they are fetched meanwhile."""
        if isinstance(self.bytes, RemoteBytes):
            self.bytes.announce(ranges)

    def _decoded(self, action: Callable[[], Any]) -> Any:
        """What `action` reads, or the reason why it cannot: the file is damaged, or its store cannot be reached."""
        try:
            return action() if isinstance(self.bytes, memoryview) else retried(action, self.path)
        except (StorageUnavailableError, FileNotFoundError, PermissionError):
            raise
        except (OSError, pa.ArrowException) as error:
            raise DamagedPartError(self.path, len(self.bytes), error) from error

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


def _open(content: memoryview | RemoteBytes) -> pq.ParquetFile:
    if isinstance(content, memoryview):
        return pq.ParquetFile(pa.BufferReader(content))
    return pq.ParquetFile(content.file.for_arrow(), pre_buffer=content.file.is_native)
