"""What many values say together: means, quantiles and how sure they are.

Nothing here depends on the order of rows, nor on how they were spread over workers: sums are exact (`math.fsum`) or run
over rows in the order of their keys, and the weights of a row's bootstrap follow from its key alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.row_hash import row_hash

RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95
QUANTILES: Final = (0.05, 0.25, 0.75, 0.95)

_PIECE = 1 << 16
"""Rows that are weighted at once; where a piece ends depends on the number of rows alone."""
_MOST = 12
"""Largest weight told apart; more come once in 10¹⁰ draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Of the values that there are; None where there are none."""

    num_values: int
    mean: float | None
    """Infinite where a value is."""
    interval: tuple[float, float] | None
    """Of the mean, at a confidence of 95 %; None below two values and where one is infinite."""
    median: float | None
    quantiles: tuple[float, ...] | None
    """At QUANTILES."""


def statistics(columns: Mapping[str, NDArray[np.float64]], keys: NDArray[np.uint64]) -> dict[str, Statistics]:
    """Describes columns of values.

    The interval is that of the Poisson bootstrap (Hanley and MacGibbon, https://doi.org/10.1016/j.cmpb.2006.04.006):
    each of 1,000 resamples takes a row as often as a Poisson variable of mean 1 says, drawn from the row's key. So a
    row has the same weights in every column, and in every table that it is part of.

    Args:
        columns: [n] each, by name; NaN where there is no value.
        keys: [n], of the rows: a hash of seed and name, no two alike.
    """
    order = np.argsort(keys, kind="stable")
    columns, keys = {name: values[order] for name, values in columns.items()}, keys[order]
    finite = {
        name: values
        for name, values in columns.items()
        if not np.isinf(values).any() and np.count_nonzero(~np.isnan(values)) > 1
    }
    intervals = _intervals(finite, keys)
    return {name: _describe(values[~np.isnan(values)], intervals.get(name)) for name, values in columns.items()}


def poisson_weights(keys: NDArray[np.uint64], resample: int) -> NDArray[np.uint8]:
    """How often rows are in one resample, [n]: Poisson variables of mean 1 by a counter-based hash."""
    return np.searchsorted(_thresholds(), row_hash(keys, resample), side="right").astype(np.uint8)


def _describe(values: NDArray[np.float64], interval: tuple[float, float] | None) -> Statistics:
    if not len(values):
        return Statistics(num_values=0, mean=None, interval=None, median=None, quantiles=None)
    if np.isfinite(values).all():
        mean: float | None = math.fsum(values) / len(values)
    else:
        both = values.min() == -math.inf and values.max() == math.inf
        mean = None if both else float(values[np.isinf(values)][0])
    ranked = np.sort(values)
    return Statistics(
        num_values=len(values),
        mean=mean,
        interval=interval,
        median=_quantile(ranked, 0.5),
        quantiles=tuple(_quantile(ranked, level) for level in QUANTILES),
    )


def _intervals(columns: Mapping[str, NDArray[np.float64]], keys: NDArray[np.uint64]) -> dict[str, tuple[float, float]]:
    """Of the means of columns whose rows are in the order of their keys."""
    known = {name: (~np.isnan(values)).astype(np.float64) for name, values in columns.items()}
    filled = {name: np.nan_to_num(values, nan=0.0) for name, values in columns.items()}
    means: dict[str, list[float]] = {name: [] for name in columns}
    for resample in range(RESAMPLES if columns else 0):
        totals: dict[str, list[float]] = {name: [] for name in columns}
        counts = dict.fromkeys(columns, 0.0)
        for start in range(0, len(keys), _PIECE):
            piece = slice(start, start + _PIECE)
            weights = poisson_weights(keys[piece], resample).astype(np.float64)
            for name in columns:
                totals[name].append(float(np.sum(weights * filled[name][piece])))
                counts[name] += float(np.sum(weights * known[name][piece]))  # whole numbers, so exact
        for name, count in counts.items():
            if count:
                means[name].append(math.fsum(totals[name]) / count)
    tail = (1 - CONFIDENCE) / 2
    ranked = {name: np.sort(found) for name, found in means.items() if found}
    return {name: (_quantile(found, tail), _quantile(found, 1 - tail)) for name, found in ranked.items()}


def _quantile(ranked: NDArray[np.float64], level: float) -> float:
    """Between the two nearest of sorted values, linearly; numpy's own gives NaN beside an infinite one."""
    place = level * (len(ranked) - 1)
    below, above = float(ranked[math.floor(place)]), float(ranked[math.ceil(place)])
    if below == above or not (math.isfinite(below) and math.isfinite(above)):
        return below if place - math.floor(place) < 0.5 else above
    return below + (above - below) * (place - math.floor(place))


def _thresholds() -> NDArray[np.uint64]:
    """Where on the scale of uint64 each number of draws begins."""
    below = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(_MOST)])
    return np.array([min(round(share * 2**64), 2**64 - 1) for share in below], np.uint64)
