"""One value of a Parquet file that holds recordings, as Hugging Face datasets do: a struct `{bytes, path}` per row."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

from workers.files import filesystem_of, is_uri, retried
from workers.media.errors import MediaError

_KEPT_GROUPS = 2  # at the border of two row groups, threads are at both
_kept: OrderedDict[tuple[object, ...], Any] = OrderedDict()
_lock = Lock()


def read_cell(path: str, column: Sequence[str], row_group: int, row: int) -> bytes:
    """The bytes in one cell. Its row group is decoded, and kept for the rows beside it.

    Args:
        path: A local path or a URI.
        column: Name of the column, and of fields of structs on the way to the value.
        row_group: Number of the row group.
        row: Number of the row within it.

    Raises:
        MediaError: There is no such cell, it is null, it holds no bytes, or the file is damaged.
        OSError: The file cannot be read.
    """
    values = _values(path, tuple(column), row_group)
    if not 0 <= row < len(values):
        raise MediaError(f"no such row: {row} of row group {row_group}, which has {len(values)}")
    value = values[row].as_py()
    if value is None:
        raise MediaError(f"no bytes in column {'.'.join(column)}: the value is null")
    if not isinstance(value, bytes):
        raise MediaError(f"column {'.'.join(column)} holds a {type(value).__name__}, expected bytes")
    return value


def _values(path: str, column: tuple[str, ...], row_group: int) -> Any:
    """The values of a column in a row group, `[rows]`."""
    key = (path, os.getpid(), _stamp(path), column, row_group)
    with _lock:  # other threads want the same row group: let one read it
        values = _kept.get(key)
        if values is None:
            values = _kept[key] = _read(path, column, row_group)
            while len(_kept) > _KEPT_GROUPS:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return values


def _stamp(path: str) -> object:
    if is_uri(path):
        return None
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _read(path: str, column: tuple[str, ...], row_group: int) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def read() -> Any:
        filesystem, name = filesystem_of(path)
        with pq.ParquetFile(filesystem.open_input_file(name), pre_buffer=is_uri(path)) as file:
            if not 0 <= row_group < file.num_row_groups:
                raise MediaError(f"no such row group: {row_group} of {file.num_row_groups}")
            _check_column(file.schema_arrow, column)
            values = file.read_row_group(row_group, columns=[".".join(column)], use_threads=False).column(column[0])
            return pc.struct_field(values, list(column[1:])) if column[1:] else values

    try:
        return retried(read, path)
    except pa.ArrowException as error:
        raise MediaError(f"not a whole Parquet file: {error}") from error


def _check_column(fields: Any, column: tuple[str, ...]) -> None:
    """Refuse a column that is not there; `fields` is an Arrow schema."""
    for name in column:
        names = [field.name for field in fields]
        if name not in names:
            raise MediaError(f"no such column: {'.'.join(column)}; {name!r} is not among {', '.join(names) or 'none'}")
        kind = fields.field(name).type
        fields = kind if hasattr(kind, "fields") else ()
