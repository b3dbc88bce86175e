"""`index.parquet`: where each unit lies, sorted by `sample_id`.

The index is a convenience, never the truth: it lists the parts that it was built from, and whoever finds other parts in
the store reads those instead.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.store import location
from pipeline.store.part import DamagedPartError, Part, read_part_table
from pipeline.store.schema import ROW_DIGEST, ROW_DIGEST_BYTES, SAMPLE_ID, SEED
from pipeline.store.seal import write_sealed

INDEX_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("file", pa.dictionary(pa.int32(), pa.string()), nullable=False, metadata={"description": "In data/."}),
        pa.field("row_group", pa.int32(), nullable=False),
        pa.field("row", pa.int32(), nullable=False, metadata={"description": "Within the file."}),
    ]
)
T = TypeVar("T")

PARTS_KEY = b"latentmill.parts"
_ROWS_PER_GROUP = 1 << 17


@dataclass(frozen=True, slots=True)
class Units:
    """Where the units of some parts lie, sorted by id; one id may be there twice."""

    ids: pa.LargeStringArray
    files: list[str]
    """Names of the parts under `data/`."""
    file: NDArray[np.int32]
    """Index into `files`, `[units]`."""
    row_group: NDArray[np.int32]
    row: NDArray[np.int32]
    """Row within the file, `[units]`."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.ids)

    def take(self, which: NDArray[np.int64]) -> "Units":
        """The units at some positions."""
        return Units(
            self.ids.take(pa.array(which)), self.files, self.file[which], self.row_group[which], self.row[which]
        )

    def repeated(self) -> NDArray[np.int64]:
        """Positions of units that have the id of the unit before them."""
        if len(self.ids) < 2:
            return np.zeros(0, np.int64)
        same = pc.equal(self.ids[:-1], self.ids[1:]).to_numpy(zero_copy_only=False)
        return np.flatnonzero(same).astype(np.int64) + 1

    def runs(self) -> list[tuple[int, int, int]]:
        """File, first row, and row after the last, of each stretch of rows in the order of the disk."""
        places = np.sort((self.file.astype(np.int64) << 32) + self.row)
        edges = np.flatnonzero(np.diff(places) != 1) + 1
        runs = np.split(places, edges) if len(places) else []
        return [(int(run[0] >> 32), int(run[0] & 0xFFFFFFFF), int(run[-1] & 0xFFFFFFFF) + 1) for run in runs]


def list_parts(store: str) -> dict[str, int]:
    """Names and sizes in bytes of the committed parts, sorted by name."""
    return location.list_files(location.join(store, location.DATA))


def committed_ids(store: str) -> pa.LargeStringArray:
    """Ids of all units in committed parts, in no particular order; one may be there twice after a kill.

    Raises:
        DamagedPartError: A part is cut short; the message names it.
    """
    parts = list_parts(store)
    indexed = _read_index(store, parts)
    if indexed is not None:
        return indexed.ids
    return _concatenate(_read_column(store, parts, SAMPLE_ID))


def committed_seeds(store: str, parts: Iterable[str]) -> dict[str, NDArray[np.uint64]]:
    """Seeds of the units in some parts, by part and in its order.

    Raises:
        DamagedPartError: A part is cut short; the message names it.
    """
    names = list(parts)
    columns = (column.to_numpy() for column in _read_column(store, names, SEED))
    return dict(zip(names, columns, strict=True))


def ids_of_rows(store: str, rows: Mapping[str, NDArray[np.int64]]) -> pa.LargeStringArray:
    """Ids of some rows of some parts.

    Raises:
        DamagedPartError: A part is cut short; the message names it.
    """
    columns = zip(_read_column(store, rows, SAMPLE_ID), rows.values(), strict=True)
    return _concatenate(column.take(pa.array(which)) for column, which in columns)


def locate_units(store: str, parts: Mapping[str, int] | None = None) -> Units:
    """Find every unit, from the index if it is up to date and from the parts if it is not.

    Args:
        store: The store's folder.
        parts: The parts to look at; by default all committed ones.

    Raises:
        DamagedPartError: A part is cut short; the message names it.
    """
    parts = list_parts(store) if parts is None else parts
    return _read_index(store, parts) or _scan(store, parts)


def build_index(store: str) -> int:
    """Write `index.parquet` for the parts that are there now.

    Returns:
        Number of units.

    Raises:
        DamagedPartError: A part is cut short; the message names it.
        ValueError: Two parts hold one unit: `drop_duplicates` comes first.
    """
    return write_index(store, _scan(store, list_parts(store)))


def write_index(store: str, units: Units) -> int:
    """Write `index.parquet` for units that `locate_units` found.

    Returns:
        Number of units.

    Raises:
        ValueError: Two parts hold one unit: `drop_duplicates` comes first.
    """
    repeated = units.repeated()
    if len(repeated):
        raise ValueError(
            f"{store}: {len(repeated)} unit(s) are in two parts, such as {units.ids[int(repeated[0])].as_py()!r}; "
            f"drop the duplicates before building the index"
        )
    sizes = list_parts(store)
    parts = {name: sizes[name] for name in units.files}
    files = pa.DictionaryArray.from_arrays(pa.array(units.file, pa.int32()), pa.array(units.files, pa.string()))
    columns = [units.ids, files, pa.array(units.row_group), pa.array(units.row)]
    schema = INDEX_SCHEMA.with_metadata({PARTS_KEY: json.dumps(parts).encode()})
    large = schema.set(0, schema.field(0).with_type(pa.large_string()))
    table = pa.Table.from_arrays(columns, schema=large)
    location.atomic_write(
        location.join(store, location.INDEX),
        lambda file: write_sealed(
            table, file, compression="zstd", row_group_size=_ROWS_PER_GROUP, use_dictionary=["file"]
        ),
    )
    return len(units)


def is_index_current(store: str) -> bool:
    """Whether there is an index, and it was built from just the parts that are there; looks at its footer alone."""
    try:
        schema = Part(location.join(store, location.INDEX)).schema
    except (FileNotFoundError, DamagedPartError):
        return False
    return bool(json.loads((schema.metadata or {}).get(PARTS_KEY, b"null")) == list_parts(store))


def committed_digests(store: str) -> tuple[pa.LargeStringArray, pa.FixedSizeBinaryArray]:
    """Ids and row digests of all committed rows, in the same order: what `content_digest` takes.

    Raises:
        DamagedPartError: A part is cut short; the message names it.
    """
    parts = list_parts(store)
    chunks = [chunk for column in _read_column(store, parts, ROW_DIGEST) for chunk in column.chunks]
    digests = pa.concat_arrays(chunks) if chunks else pa.array([], pa.binary(ROW_DIGEST_BYTES))
    return _concatenate(_read_column(store, parts, SAMPLE_ID)), digests


def digests_of(store: str, units: Units) -> pa.FixedSizeBinaryArray:
    """Row digests of units, in their order.

    Raises:
        DamagedPartError: A part is cut short; the message names it.
    """
    columns = list(_read_column(store, units.files, ROW_DIGEST))
    chunks = [chunk for column in columns for chunk in column.chunks]
    if not chunks:
        return pa.array([], pa.binary(ROW_DIGEST_BYTES))
    sizes = [len(column) for column in columns]
    first = np.cumsum(sizes) - sizes
    return pa.concat_arrays(chunks).take(pa.array(first[units.file] + units.row))


def _scan(store: str, parts: Mapping[str, int]) -> Units:
    """Read the ids of every part and sort them."""
    first_rows: list[NDArray[np.int64]] = []

    def columns() -> Iterator[pa.ChunkedArray]:
        for ids, first in _each_part(store, parts, lambda part: (part.read([SAMPLE_ID]).column(0), part.first_rows)):
            first_rows.append(first)
            yield ids

    ids = _concatenate(columns())
    sizes = [int(first[-1]) for first in first_rows]
    unsorted = Units(
        ids,
        list(parts),
        np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        _joined([np.repeat(np.arange(len(first) - 1, dtype=np.int32), np.diff(first)) for first in first_rows]),
        _joined([np.arange(size, dtype=np.int32) for size in sizes]),
    )
    units = unsorted.take(pc.sort_indices(ids).to_numpy().view(np.int64))
    del ids, unsorted
    pa.default_memory_pool().release_unused()  # as much again as the sorted ids, which others may need now
    if len(units.repeated()):  # the sort is not stable: put equal ids in the order of their files
        by_file = pa.table({"id": units.ids, "file": units.file, "row": units.row})
        order = pc.sort_indices(by_file, [("id", "ascending"), ("file", "ascending"), ("row", "ascending")])
        units = units.take(order.to_numpy().astype(np.int64))
    return units


def _read_index(store: str, parts: Mapping[str, int]) -> Units | None:
    """The index, if it was built from just these parts."""
    try:
        table = read_part_table(location.join(store, location.INDEX))
    except (FileNotFoundError, DamagedPartError):
        return None
    built_from = json.loads((table.schema.metadata or {}).get(PARTS_KEY, b"{}"))
    if built_from != dict(parts) or not parts:
        return None
    names = list(parts)
    files = table.column("file").combine_chunks()
    rank = {name: position for position, name in enumerate(names)}
    renumber = np.array([rank[name] for name in files.dictionary.to_pylist()], np.int32)
    return Units(
        _concatenate([table.column("sample_id")]),
        names,
        renumber[files.indices.to_numpy()],
        table.column("row_group").to_numpy(),
        table.column("row").to_numpy(),
    )


def _read_column(store: str, parts: Iterable[str], column: str) -> Iterator[pa.ChunkedArray]:
    return _each_part(store, parts, lambda part: part.read([column]).column(0))


def _each_part(store: str, parts: Iterable[str], look: Callable[[Part], T]) -> Iterator[T]:
    """What `look` finds in each part, in order; parts are read in threads and closed again."""
    folder = location.join(store, location.DATA)
    with ThreadPoolExecutor(8) as pool:
        yield from pool.map(lambda name: look(Part(location.join(folder, name))), parts)


def _concatenate(columns: Iterable[pa.ChunkedArray]) -> pa.LargeStringArray:
    chunks = [chunk.cast(pa.large_string()) for column in columns for chunk in column.chunks]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.large_string())


def _joined(arrays: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int32)
