"""The table of items as it is put together: its columns, and the names that a source may not use for its own.

```
_item │ _path │ _member │ _error  _group  _duration_seconds (where there are any) │ metadata …
```

Ten million rows of a manifest or a table are an ordinary source, so nothing makes a Python object for each of those.
Files of a folder come as texts. A sample of a tar shard, whose headers Python reads, takes about 1.4 KB of memory and
70 µs until it is a row here.
"""

import os
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.decode import WAVEFORM
from pipeline.failure import FAILURE
from pipeline.plan import LISTING_COLUMNS, PAIR_COLUMNS, PROMPT_COLUMNS, SIDE_COLUMNS, UNIT_COLUMNS
from pipeline.source.errors import SourceError
from pipeline.source_spec import SourceSpec
from pipeline.store.schema import BASE_FIELDS, DIGEST_FIELD

INTERNAL_COLUMNS = frozenset(
    {*LISTING_COLUMNS, *PAIR_COLUMNS, *PROMPT_COLUMNS, *SIDE_COLUMNS, WAVEFORM, FAILURE, *UNIT_COLUMNS.names}
)
"""Columns of the plan and of the blocks that travel through a pass. What is not stored begins with `_`."""
RESERVED_COLUMNS = INTERNAL_COLUMNS | {field.name for field in (*BASE_FIELDS, DIGEST_FIELD)}

PIECE_BYTES = 64 << 20
"""Arrays of about this size are what memory pools waste least of; an array of strings cannot hold more than 2 GiB."""
_WHOLE_BYTES = 1 << 30


class Items:
    """Columns of a listing. They are replaced one at a time, so that hardly more than one is ever there twice."""

    def __init__(self) -> None:
        """Begin without columns."""
        self.columns: dict[str, pa.ChunkedArray] = {}
        self._fields: dict[str, pa.Field] = {}

    def add(self, name: str, column: pa.ChunkedArray, field: pa.Field | None = None) -> None:
        """Append a column, or replace one."""
        self.columns[name] = column
        self._fields[name] = pa.field(name, column.type) if field is None else field

    def sort(self) -> None:
        """Put the rows in the order of their names."""
        names = self.columns["_item"]
        if pc.all(pc.less(names.slice(0, max(0, len(names) - 1)), names.slice(1)), min_count=0).as_py():
            return
        order = pc.sort_indices(names).cast(pa.uint32())
        shared = [name for name, column in self.columns.items() if name != "_item" and column is names]
        for name in shared:
            del self.columns[name]
        del names
        for name in list(self.columns):
            self.columns[name] = _take([self.columns.pop(name)], order)
        for name in shared:
            self.columns[name] = self.columns["_item"]

    def table(self) -> pa.Table:
        """All columns: those of every listing first, then in the order in which they were added."""
        order = [name for name in LISTING_COLUMNS if name in self._fields]
        order += [name for name in self._fields if name not in LISTING_COLUMNS]
        return pa.table(
            {name: self.columns[name] for name in order}, schema=pa.schema([self._fields[n] for n in order])
        )


def _take(column: list[pa.ChunkedArray], order: pa.UInt32Array) -> pa.ChunkedArray:
    """The one column of a list in another order. It is taken out of the list, so that it is gone once it is copied."""
    given = column.pop()
    dtype, rows = given.type, max(1, len(order) * PIECE_BYTES // max(PIECE_BYTES, given.nbytes))
    if given.nbytes < _WHOLE_BYTES:  # taking from many chunks puts them together each time
        whole = given.combine_chunks()
        given = pa.chunked_array([whole])
        del whole
    pool = pa.default_memory_pool()
    pool.release_unused()  # pools keep what is freed, and copies add up
    pieces = [given.take(order.slice(start, rows)) for start in range(0, len(order), rows)]
    del given
    pool.release_unused()
    return pa.chunked_array([chunk for piece in pieces for chunk in piece.chunks], dtype)


def whole_files(names: Sequence[str], paths: Sequence[str]) -> pa.Table:
    """Items that are files of their own: columns `_item`, `_path` and a `_member` of nulls.

    Raises:
        SourceError: a name is not Unicode.
    """
    names, paths = list(names), list(paths)
    return pa.table({"_item": texts(names), "_path": texts(paths), "_member": pa.nulls(len(names), pa.string())})


def texts(values: Sequence[str | None]) -> pa.Array:
    """Names of files as an array.

    Raises:
        SourceError: one is not Unicode.
    """
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError as error:
        name = os.fsencode(error.object)
        raise SourceError(f"source.path: the file name {name!r} is not valid UTF-8; rename the file") from error


def describe_items(
    items: Items,
    schema: pa.Schema,
    read: Callable[[str], pa.ChunkedArray],
    spec: SourceSpec,
    *,
    where: str,
    used: Sequence[str] = (),
) -> None:
    """Adds what a source says about its items: names, durations, and the columns that are carried into the store.

    Args:
        items: `_item`, `_path`, `_member` and perhaps `_error` and `_group`.
        schema: of the columns that there are.
        read: gives one of them, with a row for each item.
        spec: which of them are what.
        where: what holds them, for messages.
        used: columns that are not carried unless `spec` lists them, having done their duty.

    Raises:
        SourceError: a column is missing, has gaps where it may not, or has a name that the store uses.
    """
    require_columns(schema, (spec.id_column, spec.duration_column, *(spec.columns or ())), where)
    broken = pc.is_valid(items.columns["_error"]) if "_error" in items.columns else None
    if spec.id_column:
        names = filled_texts(read(spec.id_column), spec.id_column, where, broken)
        items.add("_item", names if broken is None else pc.if_else(broken, items.columns["_item"], names))
    if spec.duration_column:
        items.add("_duration_seconds", _durations(read(spec.duration_column), spec.duration_column, where, broken))
    spent = {*used, spec.id_column, spec.duration_column}
    carried = [name for name in schema.names if name not in spent] if spec.columns is None else spec.columns
    for name in carried:
        if name in RESERVED_COLUMNS:
            raise SourceError(
                f"{where}: column {name!r} has a name that the store uses itself;"
                " rename it, or list the columns to carry in source.columns"
            )
    for name in carried:
        column = read(name)
        items.add(name, column, schema.field(name).remove_metadata().with_type(column.type))


def require_columns(schema: pa.Schema, names: Sequence[str | None], where: str) -> None:
    """Looks whether a table has all columns that the spec names, and each of its own once.

    Raises:
        SourceError: it has not.
    """
    repeated = sorted({name for name in schema.names if len(schema.get_all_field_indices(name)) > 1})
    if repeated:
        raise SourceError(f"{where}: column {repeated[0]!r} stands there more than once; rename one")
    for name in names:
        if name is not None and name not in schema.names:
            raise SourceError(f"{where}: no column {name!r}; it has {', '.join(schema.names) or 'none'}")


def filled_texts(
    column: pa.ChunkedArray, name: str, where: str, broken: pa.ChunkedArray | None = None
) -> pa.ChunkedArray:
    """A column as texts, none of which is empty.

    Args:
        column: of any type that can be written as text.
        name: of the column.
        where: what holds it.
        broken: items that need none, having failed already.

    Raises:
        SourceError: one is empty; the message has its row.
    """
    filled = column if column.type == pa.string() else column.cast(pa.string())
    empty = pc.fill_null(pc.equal(filled, ""), True)
    _refuse_rows(empty, broken, f"{where}: column {name!r} is empty")
    return filled


def _durations(column: pa.ChunkedArray, name: str, where: str, broken: pa.ChunkedArray | None) -> pa.ChunkedArray:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise SourceError(f"{where}: column {name!r} is {column.type}; source.duration_column takes numbers of seconds")
    seconds = column.cast(pa.float64())
    good = pc.and_(pc.greater(seconds, 0.0), pc.less(seconds, float("inf")))
    problem = f"{where}: column {name!r} is no duration above 0 seconds"
    _refuse_rows(pc.fill_null(pc.invert(good), True), broken, problem)
    return seconds


def _refuse_rows(bad: pa.ChunkedArray, broken: pa.ChunkedArray | None, problem: str) -> None:
    row = pc.index(bad if broken is None else pc.and_not(bad, broken), True).as_py()
    if row >= 0:
        raise SourceError(f"{problem} in data row {row + 1}")
