"""Taking rows out of committed parts."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.store import location
from pipeline.store.index import Units, list_parts, locate_units
from pipeline.store.part import Part, read_part_table
from pipeline.store.schema import content_schema
from pipeline.store.writer import PartWriter


def remove_units(store: str, ids: Iterable[str] | pa.Array) -> int:
    """Takes units out of the store; ids that it does not hold are passed over.

    A kill in between leaves some of them in: the caller must still know that they have to go.

    Returns:
        Number of rows removed.

    Raises:
        DamagedPartError: A part is cut short; the message names it.
    """
    units = locate_units(store, list_parts(store))
    gone = ids if isinstance(ids, pa.Array) else pa.array(list(ids), pa.string())
    wanted = pc.is_in(units.ids, value_set=gone.cast(pa.large_string()))
    rows = np.flatnonzero(wanted.to_numpy(zero_copy_only=False))
    remove_rows(store, units, rows)
    return len(rows)


def remove_rows(store: str, units: Units, rows: NDArray[np.int64]) -> None:
    """Takes the rows at these positions of `units` out of their parts.

    A part that loses rows is written anew under the name of the units it keeps. That may be the name of another part
    that loses all of its rows here, so the old parts go only when every new one is written, and only those whose name
    no new one has. A kill in between leaves duplicates, for `drop_duplicates` to drop.

    Args:
        store: The store's folder.
        units: All its units.
        rows: Of each unit all rows, or all but one.
    """
    old, new = set(), set()
    for file in np.unique(units.file[rows]).tolist():
        old.add(units.files[file])
        path = location.join(store, location.DATA, units.files[file])
        part = Part(path)
        keep = np.ones(len(part), np.bool_)
        keep[units.row[rows[units.file[rows] == file]]] = False
        if keep.any():
            table = read_part_table(path, content_schema(part.schema).names)
            new.add(PartWriter(store, part.schema).commit(table.filter(pa.array(keep))).file)
    for name in sorted(old - new):
        location.remove(location.join(store, location.DATA, name))
