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


def statistics(
    columns: Mapping[str, NDArray[np.float64]],
    keys: NDArray[np.uint64],
    sources: NDArray[np.uint64] | None = None,
) -> dict[str, Statistics]:
    """Describes columns of values.

    The interval is that of the Poisson bootstrap (Hanley and MacGibbon, https://doi.org/10.1016/j.cmpb.2006.04.006):
    each of 1,000 resamples takes a row as often as a Poisson variable of mean 1 says, drawn from a key. So a row has
    the same weights in every column, and in every table that it is part of.

    Args:
        columns: [n] each, by name; NaN where there is no value.
        keys: [n], of the rows: a hash of seed and name, no two alike.
        sources: [n], keys of what the rows are parts of. Parts of one recording are alike, and are drawn together: as
            independent rows they would make the mean look surer than it is. The rows' own keys if none.
    """
    order = np.argsort(keys, kind="stable")
    drawn = (keys if sources is None else sources)[order]
    columns = {name: values[order] for name, values in columns.items()}
    finite = {
        name: values
        for name, values in columns.items()
        if not np.isinf(values).any() and np.count_nonzero(~np.isnan(values)) > 1
    }
    intervals = _intervals(finite, drawn)
    return {name: _describe(values[~np.isnan(values)], intervals.get(name)) for name, values in columns.items()}


def poisson_weights(keys: NDArray[np.uint64], resamples: range) -> NDArray[np.uint8]:
    """How often rows are in some resamples, [resamples, n]: Poisson variables of mean 1 by a counter-based hash."""
    hashes = row_hash(keys[None, :], np.array(resamples, np.uint64)[:, None])
    return np.searchsorted(_thresholds(), hashes, side="right").astype(np.uint8)


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
    """Of the means of columns whose rows are in a fixed order, with the key that each row is drawn by."""
    known = {name: (~np.isnan(values)).astype(np.float64) for name, values in columns.items()}
    filled = {name: np.nan_to_num(values, nan=0.0) for name, values in columns.items()}
    means = {name: np.empty(RESAMPLES) for name in columns}
    step = max(1, _PIECE // max(1, len(keys)))
    for first in range(0, RESAMPLES if columns else 0, step):
        resamples = range(first, min(first + step, RESAMPLES))
        totals = {name: np.zeros((2, len(resamples))) for name in columns}
        for start in range(0, len(keys), _PIECE):
            piece = slice(start, start + _PIECE)
            weights = poisson_weights(keys[piece], resamples).astype(np.float64)
            for name, total in totals.items():
                total += [(weights * values[name][piece]).sum(axis=1) for values in (filled, known)]
        for name, (total, count) in totals.items():
            with np.errstate(invalid="ignore"):
                means[name][first : first + len(resamples)] = total / count  # NaN for a resample without a row
    tail = (1 - CONFIDENCE) / 2
    ranked = {name: np.sort(found[~np.isnan(found)]) for name, found in means.items()}
    return {name: (_quantile(found, tail), _quantile(found, 1 - tail)) for name, found in ranked.items() if len(found)}


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
