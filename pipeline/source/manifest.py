"""Tables that name media files: CSV, TSV, JSONL and Parquet."""

import csv
import io
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from pipeline.source.errors import SourceError
from pipeline.source.items import PIECE_BYTES, Items, describe_items, filled_texts, require_columns
from pipeline.source_spec import SourceSpec
from workers.files import check_uri, is_uri, join_path, open_file, scheme_of
from workers.files.uri import WEB, extension_of, folder_of

MANIFEST_EXTENSIONS = frozenset({".csv", ".tsv", ".jsonl", ".parquet"})

LONGEST_LINE_BYTES = 64 << 20
"""No line of a CSV or JSONL manifest may be longer."""

ReadColumn = Callable[[str], pa.ChunkedArray]

_PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
_BLOCK_BYTES = 1 << 20

_SIMPLE_URI = r"^(?P<place>[A-Za-z][A-Za-z0-9+.-]+://[^/@:?]+)/[^@?]*$"
"""A URI without user, port and query: whether it may be opened depends on scheme and bucket or host alone."""


def from_manifest(spec: SourceSpec) -> pa.Table:
    """The rows of a manifest as items, sorted, with the columns that are carried.

    Raises:
        SourceError: it cannot be read, has no rows, a column is missing, empty, or has a name that the store uses, or a
            path holds credentials.
    """
    path = str(spec.path)
    items = Items()
    try:
        with open_file(path) as file:
            schema, read = _open_table(file, path, spec)
            require_columns(schema, [spec.path_column], path)
            paths = filled_texts(read(spec.path_column), spec.path_column, path)
            if len(paths) == 0:
                raise SourceError(f"source.path: the manifest {path!r} has no rows; it names no files")
            items.add("_item", paths)
            items.add("_path", paths)
            del paths
            describe_items(items, schema, read, spec, where=path, used=[spec.path_column])
            del read
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"source.path: cannot read the manifest {path!r}: {error}") from error
    items.sort()
    items.add("_path", resolve_paths(items.columns["_path"], folder_of(path), where=path))
    items.add("_member", pa.chunked_array([pa.nulls(len(items.columns["_item"]), pa.string())]))
    return items.table()


def resolve_paths(paths: pa.ChunkedArray, folder: str, *, where: str) -> pa.ChunkedArray:
    """Paths as seen from the folder of the table that names them; absolute ones and URIs are as they are.

    Raises:
        SourceError: one holds credentials, or nothing opens it.
    """
    return pa.chunked_array([_resolve_all(chunk, folder, where) for chunk in paths.chunks], pa.string())


def _resolve_all(paths: pa.StringArray, folder: str, where: str) -> pa.StringArray:
    """Paths of one chunk; those that take more than a look at how they begin go through Python one by one."""
    special = pc.match_substring_regex(paths, _special_paths(folder))
    if not pc.any(special, min_count=0).as_py():
        return pc.binary_join_element_wise(folder.rstrip("/"), paths, "/")
    place = pc.struct_field(pc.extract_regex(paths, _SIMPLE_URI), "place")
    for found in pc.unique(place).drop_null().to_pylist():
        _resolve(f"{found}/", folder, where)
    stays = pc.is_valid(place) if is_uri(folder) else pc.or_(pc.is_valid(place), pc.starts_with(paths, "/"))
    if pc.all(stays, skip_nulls=False).as_py():
        return paths
    joined = pc.if_else(stays, paths, pc.binary_join_element_wise(folder.rstrip("/"), paths, "/"))
    rest = pc.and_not(special, stays)
    resolved = [_resolve(path, folder, where) for path in paths.filter(rest).to_pylist()]
    return pc.replace_with_mask(joined, rest, pa.array(resolved, pa.string())) if resolved else joined


def _special_paths(folder: str) -> str:
    """What matches paths that are not simply behind those of their folder."""
    dots = r"|(^|/)\.{0,2}(/|$)" if is_uri(folder) else ""
    return r"^/|://" + dots + (r"|\?" if scheme_of(folder) in WEB else "")


def _resolve(path: str, folder: str, where: str) -> str:
    try:
        resolved = join_path(folder, path)
        check_uri(resolved)
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from error
    return resolved


def _open_table(file: Any, path: str, spec: SourceSpec) -> tuple[pa.Schema, ReadColumn]:
    """The columns of a table, and a function that gives one: each column of a Parquet file is read by itself."""
    extension = extension_of(path)
    if extension == ".parquet":
        parquet = pq.ParquetFile(file)
        return parquet.schema_arrow, lambda name: read_column(parquet, name)
    if extension == ".jsonl":
        table = pa.json.read_json(file, read_options=pa.json.ReadOptions(block_size=LONGEST_LINE_BYTES))
    else:
        texts = [name for name in (spec.path_column, spec.id_column) if name]
        only = None if spec.columns is None else {*texts, spec.duration_column, *spec.columns}
        table = _read_csv(path, texts, only)
    columns = dict(zip(table.column_names, table.columns, strict=False))
    return table.schema, columns.__getitem__


def read_table(path: str, *, texts: Sequence[str]) -> pa.Table:
    """All of a table that fits into memory, whatever kind it is of.

    Args:
        path: of a file with one of MANIFEST_EXTENSIONS.
        texts: columns that are texts even where they look like numbers.

    Raises:
        OSError: it cannot be read.
        pa.ArrowException: it is no such table.
    """
    with open_file(path) as file:
        match extension_of(path):
            case ".parquet":
                table = pq.read_table(file)
            case ".jsonl":
                table = pa.json.read_json(file, read_options=pa.json.ReadOptions(block_size=LONGEST_LINE_BYTES))
            case _:
                table = _read_csv(path, texts, None)
    for number, field in enumerate(table.schema):
        if field.type in _PLAIN:
            table = table.set_column(number, field.name, table[number].cast(_PLAIN[field.type]))
    return table


def read_column(parquet: pq.ParquetFile, name: str) -> pa.ChunkedArray:
    """One column of a Parquet file, row group after row group; string views, which few kernels take, as strings."""
    groups = range(parquet.num_row_groups)
    pieces = [parquet.read_row_group(group, columns=[name], use_threads=False).column(0) for group in groups]
    column = pa.chunked_array(
        [chunk for piece in pieces for chunk in piece.chunks], parquet.schema_arrow.field(name).type
    )
    return column.cast(_PLAIN[column.type]) if column.type in _PLAIN else column


def _read_csv(path: str, texts: Sequence[str], only: Collection[str | None] | None) -> pa.Table:
    """All rows, of all columns or of those asked for; what names something is text, so that an id 007 stays 007.

    To find the types of columns, `read_csv` keeps the whole file in memory. The first block's types are what it would
    find, where they fit all that follows: so they are tried first. Each attempt opens the file for itself, since one
    that failed may still be reading ahead.
    """
    delimiter = "\t" if extension_of(path) == ".tsv" else ","
    parsing = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    converting = pa.csv.ConvertOptions(column_types={name: pa.string() for name in texts})
    if only is not None:
        with open_file(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            header = next(csv.reader(text, delimiter=delimiter), [])
        converting.include_columns = [name for name in header if name in only]
    try:
        with open_file(path) as file:
            return _in_pieces(pa.csv.open_csv(file, pa.csv.ReadOptions(block_size=_BLOCK_BYTES), parsing, converting))
    except pa.ArrowInvalid:
        with open_file(path) as file:
            return pa.csv.read_csv(file, pa.csv.ReadOptions(block_size=LONGEST_LINE_BYTES), parsing, converting)


def _in_pieces(batches: pa.RecordBatchReader) -> pa.Table:
    """All batches, put together to pieces of a size that wastes little memory."""
    pieces, piece, num_bytes = [batches.schema.empty_table()], [], 0
    for batch in batches:
        piece.append(batch)
        num_bytes += batch.nbytes
        if num_bytes > PIECE_BYTES:
            pieces.append(pa.Table.from_batches(piece).combine_chunks())
            piece, num_bytes = [], 0
    return pa.concat_tables([*pieces, pa.Table.from_batches(piece, batches.schema)])
