"""Parquet tables that hold the recordings themselves, as Hugging Face `datasets` write them.

Their audio column is a struct `{bytes, path}`: where `bytes` is null, `path` names a file beside the table. A row is an
item; the rows of a row group are a group, because its bytes are read together.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.source.errors import SourceError
from pipeline.source.items import Items, describe_items, require_columns
from pipeline.source.manifest import read_column, resolve_paths
from pipeline.source_spec import SourceSpec
from workers.files import StorageUnavailableError, open_file
from workers.files.uri import folder_of
from workers.media.media_file import row_member

BYTES = "bytes"
PATH = "path"

_NOTHING = "the row holds no audio: its bytes and path are null"


def audio_columns(schema: pa.Schema) -> list[str]:
    """Columns that are structs `{bytes, path}` of audio; images look alike, and only Hugging Face's notes tell them."""
    features = _features(schema)
    return [
        field.name
        for field in schema
        if _is_audio(field.type) and features.get(field.name, {}).get("_type", "Audio") == "Audio"
    ]


def is_audio_table(spec: SourceSpec) -> bool:
    """Whether a Parquet file holds audio, rather than being a manifest of files.

    Raises:
        SourceError: it cannot be read.
    """
    if spec.audio_column is not None:
        return True
    with open_table(str(spec.path)) as parquet:
        schema = parquet.schema_arrow
        return spec.path_column not in schema.names and bool(audio_columns(schema))


def from_audio_tables(paths: Sequence[str], names: Sequence[str], spec: SourceSpec) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows of tables as items.

    Args:
        paths: of the Parquet files.
        names: that their rows are called after: `NAME#ROW`, counted over the whole file.
        spec: which column holds the audio, and what to carry.

    Returns:
        The items, with `_group`; and notes.

    Raises:
        SourceError: a table cannot be read, has no audio, or not the columns of the first, or none has a row.
    """
    tables, notes = [], dict[str, None]()
    for path, name in zip(paths, names, strict=True):
        with open_table(path) as parquet:
            table, left_out = _rows(parquet, path, name, spec)
        tables.append(table)
        if left_out:
            listed = ", ".join(left_out)
            notes[f"source: binary column(s) {listed} of the tables are not carried; list them in source.columns"] = (
                None
            )
    if not any(table.num_rows for table in tables):
        raise SourceError(f"source.path: the tables of {spec.path!r} have no rows; they hold no audio")
    try:
        return pa.concat_tables(tables, promote_options="permissive"), tuple(notes)
    except pa.ArrowException as error:
        raise SourceError(
            f"source.path: the tables of {spec.path!r} do not have the same columns: {error};"
            " list those that agree in source.columns"
        ) from error


def _rows(parquet: pq.ParquetFile, path: str, name: str, spec: SourceSpec) -> tuple[pa.Table, list[str]]:
    """The rows of one table, and columns that are not carried."""
    schema = parquet.schema_arrow
    column = _audio_column(schema, path, spec)
    items = place_rows(parquet, column, path)
    numbers = pc.cast(pa.array(np.arange(parquet.metadata.num_rows)), pa.string())
    items.add("_item", pa.chunked_array([pc.binary_join_element_wise(name, numbers, "#")]))
    blobs = [field.name for field in schema if field.name != column and _holds_bytes(field.type)]
    left_out = [blob for blob in blobs if blob not in (spec.columns or ())]
    carried = pa.schema([field for field in schema if field.name not in left_out])
    describe_items(items, carried, lambda wanted: read_column(parquet, wanted), spec, where=path, used=[column])
    return items.table(), left_out


def place_rows(parquet: pq.ParquetFile, column: str, path: str) -> Items:
    """Where the audio of each row of a table lies: `_item` (to be named), `_path`, `_member`, `_error`, `_group`.

    Raises:
        SourceError: a path cannot be used.
    """
    items = Items()
    chunks: dict[str, list[pa.Array]] = {name: [] for name in ("_item", "_path", "_member", "_error", "_group")}
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        inside, paths = _inside(parquet, column, group), pa.nulls(rows, pa.string())
        if not pc.all(inside, min_count=0).as_py():
            paths = _paths(parquet, column, group, path)
        member = row_member(_leaf(parquet.schema_arrow, column), group, 0).removesuffix("0")
        members = pc.binary_join_element_wise(member, pc.cast(pa.array(np.arange(rows)), pa.string()), "")
        none = pa.nulls(rows, pa.string())
        chunks["_item"].append(none)
        chunks["_path"].append(pc.coalesce(pc.if_else(inside, none, paths), pa.scalar(path)))
        chunks["_member"].append(pc.if_else(inside, members, none))
        chunks["_error"].append(pc.if_else(pc.or_(inside, pc.is_valid(paths)), none, pa.scalar(_NOTHING)))
        chunks["_group"].append(pc.if_else(inside, pa.scalar(f"{path}:{group}"), none))
    for name, arrays in chunks.items():
        items.add(name, pa.chunked_array(arrays, pa.string()))
    return items


def _inside(parquet: pq.ParquetFile, column: str, group: int) -> pa.BooleanArray:
    """Rows of a row group that hold bytes. The footer's count of nulls spares reading the column nearly always."""
    leaf = ".".join(_leaf(parquet.schema_arrow, column))
    chunks = (parquet.metadata.row_group(group).column(at) for at in range(parquet.metadata.num_columns))
    facts = next(chunk for chunk in chunks if chunk.path_in_schema == leaf)
    rows = parquet.metadata.row_group(group).num_rows
    statistics = facts.statistics
    if statistics is not None and statistics.has_null_count and statistics.null_count in (0, rows):
        return pa.array(np.full(rows, statistics.null_count == 0))
    return pc.is_valid(_value(parquet, column, BYTES, group))


def _paths(parquet: pq.ParquetFile, column: str, group: int, path: str) -> pa.StringArray:
    dtype = parquet.schema_arrow.field(column).type
    if not pa.types.is_struct(dtype) or dtype.get_field_index(PATH) < 0:
        return pa.nulls(parquet.metadata.row_group(group).num_rows, pa.string())
    paths = pa.chunked_array([_value(parquet, column, PATH, group).cast(pa.string())])
    paths = pc.if_else(pc.equal(paths, ""), pa.scalar(None, pa.string()), paths)
    return resolve_paths(paths, folder_of(path), where=path).combine_chunks()


def _value(parquet: pq.ParquetFile, column: str, name: str, group: int) -> pa.Array:
    """One field of the audio in a row group, or the audio itself where it is no struct."""
    is_struct = pa.types.is_struct(parquet.schema_arrow.field(column).type)
    wanted = f"{column}.{name}" if is_struct else column
    values = parquet.read_row_group(group, columns=[wanted], use_threads=False).column(0).combine_chunks()
    return pc.struct_field(values, name) if is_struct else values


def _leaf(schema: pa.Schema, column: str) -> tuple[str, ...]:
    return (column, BYTES) if pa.types.is_struct(schema.field(column).type) else (column,)


def _audio_column(schema: pa.Schema, path: str, spec: SourceSpec) -> str:
    """The column to read.

    Raises:
        SourceError: there is none, or which one is not said.
    """
    require_columns(schema, [spec.audio_column], path)
    found = [spec.audio_column] if spec.audio_column else audio_columns(schema)
    if not found:
        raise SourceError(
            f"{path}: no column holds audio, as structs {{bytes, path}}; it has {', '.join(schema.names)}."
            " A manifest of files is given as a single file with a column"
            f" {spec.path_column!r}; a column of plain bytes is named in source.audio_column"
        )
    if len(found) > 1:
        raise SourceError(f"{path}: columns {', '.join(found)} hold audio; say which in source.audio_column")
    [column] = found
    dtype = schema.field(column).type
    if not _is_audio(dtype) and not _is_bytes(dtype):
        raise SourceError(f"{path}: source.audio_column {column!r} is {dtype}; expected struct<bytes, path> or binary")
    if column in (spec.columns or ()):
        raise SourceError(f"{path}: {column!r} holds the audio itself; take it out of source.columns")
    return column


def _is_audio(dtype: pa.DataType) -> bool:
    if not pa.types.is_struct(dtype):
        return False
    fields = {field.name: field.type for field in dtype}
    return set(fields) >= {BYTES, PATH} and _is_bytes(fields[BYTES])


def _is_bytes(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype) or pa.types.is_binary_view(dtype))


def _holds_bytes(dtype: pa.DataType) -> bool:
    if pa.types.is_nested(dtype):
        return any(_holds_bytes(dtype.field(index).type) for index in range(dtype.num_fields))
    return _is_bytes(dtype)


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What Hugging Face `datasets` notes about columns."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = noted.get("info", {}).get("features", {})
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (ValueError, AttributeError):
        return {}


@contextmanager
def open_table(path: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        with open_file(path) as file, pq.ParquetFile(file) as parquet:
            yield parquet
    except StorageUnavailableError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"source.path: cannot read the table {path!r}: {error}") from error
