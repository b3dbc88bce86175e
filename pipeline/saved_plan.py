"""The plan in a file of the store: written once per change of the source, and read where rows of it are needed."""

import json
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.planned import Facts, Plan
from pipeline.store import location
from pipeline.store.part import DamagedPartError, Part
from pipeline.store.seal import sealed_parquet

UNITS = "units.parquet"
_MADE_FROM = b"latentmill.made_from"
_ROWS_PER_GROUP = 1 << 15
_UNIQUE = ("sample_id", "source", "_path", "seed")
"""Columns that a Parquet dictionary does not make smaller."""


class SavedRows:
    """Rows of a saved plan, read a row group at a time; the last one is remembered, since spans follow one another.

    A copy in another process opens the file once and keeps it from task to task.
    """

    def __init__(self, part: Part) -> None:
        """From an opened file."""
        self._key = (part.path, secrets.token_hex(8))  # another plan may be written under the same name later
        self._part = part
        self.schema: pa.Schema = part.schema.remove_metadata()
        self._last: tuple[int, tuple[str, ...], pa.Table] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """The path goes along, and not the open file."""
        return _opened, self._key

    def read(self, positions: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """As `Rows` says; ascending positions are the fast order."""
        group_of = np.searchsorted(self._part.first_rows, positions, side="right") - 1
        order = np.argsort(group_of, kind="stable")
        pieces = []
        for group in np.unique(group_of).tolist():
            rows = positions[group_of == group] - self._part.first_rows[group]
            pieces.append(self._group(group, tuple(columns)).take(pa.array(rows)))
        if not pieces:
            return pa.schema([self.schema.field(name) for name in columns]).empty_table()
        found = pa.concat_tables(pieces)
        in_order = bool(np.all(group_of[1:] >= group_of[:-1]))
        return found if in_order else found.take(pa.array(np.argsort(order)))

    def _group(self, group: int, columns: tuple[str, ...]) -> pa.Table:
        if self._last is None or self._last[:2] != (group, columns):
            self._last = (group, columns, self._part.read(list(columns), group).select(list(columns)))
        return self._last[2]


@lru_cache(maxsize=2)
def _opened(path: str, _: str) -> SavedRows:
    return SavedRows(Part(path))


def save_plan(store: str, plan: Plan, made_from: dict[str, object] | None) -> None:
    """Writes a plan into its store, where its rows are read from then on.

    Args:
        store: where.
        plan: all units.
        made_from: what `open_plan` compares to tell whether the plan is still the one that a job would make; none where
            only making it anew can tell.
    """
    schema = plan.schema.with_metadata({_MADE_FROM: json.dumps(made_from).encode()} if made_from else None)
    repeating = [name for name in schema.names if name not in _UNIQUE]

    def write(file: pa.NativeFile) -> None:
        with sealed_parquet(file, schema, compression="zstd", use_dictionary=repeating) as writer:
            for batch in plan.batches():
                writer.write_table(batch.cast(schema), row_group_size=_ROWS_PER_GROUP)

    path = location.join(store, location.PLAN, UNITS)
    location.atomic_write(path, write)
    plan.move_to(SavedRows(Part(path)))


def open_plan(store: str, made_from: dict[str, object] | None = None) -> Plan:
    """The plan that a store was last run with.

    Args:
        store: where.
        made_from: what the plan has to be made from, if that matters.

    Raises:
        FileNotFoundError: there is none, or it was made from something else.
        pipeline.store.part.DamagedPartError: it is cut short; the message names it.
    """
    path = location.join(store, location.PLAN, UNITS)
    try:
        part = Part(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{store}: no {location.PLAN}/{UNITS}; run the job again to write it") from None
    if made_from is not None and json.loads((part.schema.metadata or {}).get(_MADE_FROM, b"null")) != made_from:
        raise FileNotFoundError(f"{path} was not made from {made_from}")
    rows = SavedRows(part)
    return Plan(rows, Facts.of(part.read(list(Facts.COLUMNS))))


def find_plan(store: str, made_from: dict[str, object] | None = None) -> Plan | None:
    """`open_plan`, or none where the plan is missing, damaged, of an older layout or not the one: it is made anew."""
    try:
        return open_plan(store, made_from)
    except (FileNotFoundError, DamagedPartError, KeyError):
        return None
