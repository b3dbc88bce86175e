"""Numbers of a store, column by column: how they are spread, and how many units have none."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.report.fields import Fields, Number
from pipeline.report.histogram import Histogram, count_in_bins, shared_axis
from pipeline.store.reader import LatentStore

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BYPRODUCTS = ("peak", "seconds")
"""Groups that say little of how good a unit is; they come last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSummary:
    """One column of numbers over all units. What is not finite is counted, and in none of the statistics."""

    number: Number
    num_units: int
    num_values: int
    """Units with a value, infinite ones included."""
    num_infinite: int
    mean: float | None
    """None, like all that follow, where no value is finite."""
    std: float | None
    """Of the population."""
    lowest: float | None
    highest: float | None
    quantiles: tuple[float, ...] | None
    """At QUANTILES."""
    statuses: tuple[tuple[str, int], ...]
    """Units by status, most first; empty where the store has no such column."""
    histogram: Histogram
    decimals: int
    """Digits behind the point that tell values apart."""

    @property
    def coverage(self) -> float:
        """Share of the units that have a value."""
        return self.num_values / self.num_units if self.num_units else 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        names = ("num_units", "num_values", "num_infinite", "coverage", "mean", "std", "lowest", "highest")
        quantiles = dict(zip(map(str, QUANTILES), self.quantiles or (), strict=False))
        return {
            **{name: getattr(self, name) for name in names},
            "quantiles": quantiles,
            "statuses": dict(self.statuses),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberGroup:
    """Columns that measure the same of different sounds."""

    name: str
    summaries: tuple[NumberSummary, ...]


def summarise_numbers(store: LatentStore, fields: Fields) -> tuple[NumberGroup, ...]:
    """Goes through all numbers, one column in memory at a time but for those that share an axis."""
    first = {number.group: place for place, number in reversed(list(enumerate(fields.numbers)))}
    ordered = sorted(fields.numbers, key=lambda number: (number.group in BYPRODUCTS, first[number.group]))
    groups = groupby(ordered, key=lambda number: number.group)
    return tuple(NumberGroup(name=name, summaries=tuple(_summaries(store, list(group)))) for name, group in groups)


def number_values(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    """A column as float64, NaN where it is null."""
    return np.asarray(pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy())


def decimals_of(values: NDArray[np.float64]) -> int:
    """Digits behind the point that show three significant ones of typical values."""
    finite = np.abs(values[np.isfinite(values)])
    typical = float(np.quantile(finite, 0.9)) if len(finite) else 0.0
    return int(np.clip(2 - np.floor(np.log10(typical)), 0, 6)) if typical > 1e-6 else 2


def format_number(value: float | None, decimals: int, unit: str = "") -> str:
    """A value as the page shows it: `12.34 dB`, `∞`, or a dash where there is none."""
    if value is None or np.isnan(value):
        return "–"
    rounded = round(value, decimals) + 0.0  # no negative zero
    text = ("∞" if value > 0 else "−∞") if np.isinf(value) else f"{rounded:,.{decimals}f}".replace("-", "−")
    return f"{text} {unit}" if unit else text


def _summaries(store: LatentStore, numbers: list[Number]) -> Iterator[NumberSummary]:
    columns = [number_values(store.select([number.name])[number.name]) for number in numbers]
    # Sorted, for quantiles and so that sums do not depend on the order in which units lie on the disk.
    finite = [np.sort(values[np.isfinite(values)]) for values in columns]
    axis = shared_axis(finite)
    decimals = min((decimals_of(known) for known in finite if len(known)), default=2)  # one for all: they are compared
    for number, values, known in zip(numbers, columns, finite, strict=True):
        yield NumberSummary(
            number=number,
            num_units=len(values),
            num_values=int(np.count_nonzero(~np.isnan(values))),
            num_infinite=int(np.count_nonzero(np.isinf(values))),
            mean=float(known.mean()) if len(known) else None,
            std=float(known.std()) if len(known) else None,
            lowest=float(known[0]) if len(known) else None,
            highest=float(known[-1]) if len(known) else None,
            quantiles=tuple(np.quantile(known, QUANTILES).tolist()) if len(known) else None,
            statuses=_counts(store.select([number.status])[number.status]) if number.status else (),
            histogram=count_in_bins(known, axis),
            decimals=decimals,
        )


def _counts(column: pa.ChunkedArray) -> tuple[tuple[str, int], ...]:
    found = [(str(value["values"]), int(value["counts"])) for value in pc.value_counts(column).to_pylist()]
    return tuple(sorted(found, key=lambda pair: (-pair[1], pair[0])))
