"""Units as rows of a table: every column that fits into a cell."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.report.fields import Fields
from pipeline.report.numbers import decimals_of
from pipeline.report.selection import sample_ids
from pipeline.store.reader import LatentStore
from pipeline.store.schema import DURATION_SECONDS, SAMPLE_ID

MAX_CELL_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How a column of the table is shown and sorted."""

    name: str
    unit: str
    is_number: bool
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRows:
    """Some of the units, or all, in order of their ids."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    """Texts, finite floats and None; infinite numbers are the texts `Infinity` and `-Infinity`."""
    num_units: int
    """Of the whole store."""

    @property
    def is_sample(self) -> bool:
        """Whether there are more units than rows."""
        return len(self.rows) < self.num_units


def read_rows(store: LatentStore, fields: Fields, *, always: Sequence[str], count: int, seed: int) -> UnitRows:
    """Reads the rows of a table.

    Args:
        store: Any store.
        fields: Its columns.
        always: Ids of units that must be there.
        count: How many rows, at most; more only where `always` is longer.
        seed: Of the sample, where there are more units.
    """
    if not len(store):
        return UnitRows(columns=(), rows=(), num_units=0)
    others = sample_ids(store.ids, max(0, count - len(always)), seed, "rows", besides={*always})
    ids = sorted([*always, *others])
    units = {number.name: number.unit for number in fields.numbers}
    seconds = {name: "s" for name in ("start_seconds", DURATION_SECONDS)}
    numbers = seconds | units
    names = [SAMPLE_ID, DURATION_SECONDS, *fields.metadata]
    for number in fields.numbers:
        names += [number.name, *([number.status] if number.status else [])]
    names += ["start_seconds", "source"]
    batch = store.read(ids, names)
    numeric = {name for name in names if name in numbers or _is_numeric(store.schema.field(name).type)}
    values = {name: _floats(batch[name]) for name in numeric}
    columns = tuple(
        Column(
            name=name,
            unit=numbers.get(name, ""),
            is_number=name in numeric,
            decimals=_decimals(store.schema.field(name).type, values[name]) if name in numeric else 0,
        )
        for name in names
    )
    cells = [
        [_number(value) for value in values[name].tolist()] if name in numeric else [_text(v) for v in batch[name]]
        for name in names
    ]
    return UnitRows(columns=columns, rows=tuple(zip(*cells, strict=True)), num_units=len(store))


def _is_numeric(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def _decimals(dtype: pa.DataType, values: NDArray[np.float64]) -> int:
    return 0 if pa.types.is_integer(dtype) else decimals_of(values)


def _floats(column: Any) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in column], np.float64)


def _number(value: float) -> float | str | None:
    if np.isnan(value):
        return None
    return float(f"{value:.9g}") if np.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _text(value: Any) -> str | None:
    if value is None:
        return None
    plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return plain if len(plain) <= MAX_CELL_CHARACTERS else plain[:MAX_CELL_CHARACTERS] + "…"
