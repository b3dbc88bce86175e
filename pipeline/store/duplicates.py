"""Units that are in two parts.

It can happen after a kill and a quick restart: the new run does not see a part that an orphan of the old one is about
to commit. Both rows hold the same content then, and the one in the later part (by name) goes.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.store import location
from pipeline.store.index import Units, list_parts, locate_units
from pipeline.store.part import Part
from pipeline.store.removal import remove_rows
from pipeline.store.schema import ROW_DIGEST


class ConflictingUnitsError(ValueError):
    """Two parts hold different content under one id."""


def surplus(store: str, units: Units) -> NDArray[np.int64]:
    """Positions in `units` of rows that repeat the row before them.

    Raises:
        ConflictingUnitsError: Two rows have one id and differ; the message names the id and both files.
    """
    repeated = units.repeated()
    involved = np.union1d(repeated, repeated - 1)
    digests: dict[int, bytes] = {}
    for file in np.unique(units.file[involved]).tolist():
        part = Part(location.join(store, location.DATA, units.files[file]))
        column = part.read([ROW_DIGEST]).column(0)
        here = involved[units.file[involved] == file]
        digests.update(zip(here.tolist(), column.take(pa.array(units.row[here])).to_pylist(), strict=True))
    for position in repeated.tolist():
        if digests[position] != digests[position - 1]:
            first, second = (units.files[units.file[at]] for at in (position - 1, position))
            raise ConflictingUnitsError(
                f"{store}: unit {units.ids[position].as_py()!r} is in {first} and, with other content, in {second}. "
                f"The two were not made by one job: delete the wrong file and run the job again"
            )
    return repeated


def drop_duplicates(store: str) -> int:
    """Leave each unit in one part only.

    Returns:
        Number of rows dropped.

    Raises:
        ConflictingUnitsError: Two rows have one id and differ; nothing is changed then.
        DamagedPartError: A part is cut short; the message names it.
    """
    units = locate_units(store, list_parts(store))
    gone = surplus(store, units)
    remove_rows(store, units, gone)
    return len(gone)


def first_rows_only(store: str, units: Units) -> Units:
    """`units` without the rows that repeat another.

    Raises:
        ConflictingUnitsError: Two rows have one id and differ.
    """
    gone = surplus(store, units) if len(units.repeated()) else np.zeros(0, np.int64)
    return units.take(np.setdiff1d(np.arange(len(units)), gone)) if len(gone) else units


def repeats(ids: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Whether a row has the id of an earlier row, `[rows]`."""
    codes = pc.dictionary_encode(ids.combine_chunks()).indices.to_numpy()
    repeated = np.ones(len(codes), np.bool_)
    repeated[np.unique(codes, return_index=True)[1]] = False
    return repeated
