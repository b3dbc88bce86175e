"""What many values say together: means, quantiles and how sure they are.

Nothing here depends on the order of rows, nor on how they were spread over workers: sums are exact (`math.fsum`) or run
over rows in the order of their keys, and the weights of a row's bootstrap follow from its key alone.
"""

import math
from collections.abc import Iterator
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


def statistics(values: NDArray[np.float64], keys: NDArray[np.uint64]) -> Statistics:
    """Describes values.

    The interval is that of the Poisson bootstrap (Hanley and MacGibbon, https://doi.org/10.1016/j.cmpb.2006.04.006):
    each of 1,000 resamples takes a row as often as a Poisson variable of mean 1 says, drawn from the row's key. Rows
    that several statistics share have the same weights in each.

    Args:
        values: [n], NaN where there is none.
        keys: [n], of the rows: a hash of seed and name, no two alike.
    """
    known = ~np.isnan(values)
    order = np.argsort(keys[known], kind="stable")
    values, keys = values[known][order], keys[known][order]
    if not len(values):
        return Statistics(num_values=0, mean=None, interval=None, median=None, quantiles=None)
    finite = bool(np.isfinite(values).all())
    with np.errstate(invalid="ignore"):  # both infinities have no mean
        mean = math.fsum(values) / len(values) if finite else float(np.sum(values))
    ranked = np.sort(values)
    return Statistics(
        num_values=len(values),
        mean=None if math.isnan(mean) else mean,
        interval=_interval(values, keys) if finite and len(values) > 1 else None,
        median=_quantile(ranked, 0.5),
        quantiles=tuple(_quantile(ranked, level) for level in QUANTILES),
    )


def poisson_weights(keys: NDArray[np.uint64], resample: int) -> NDArray[np.uint8]:
    """How often rows are in one resample, [n]: Poisson variables of mean 1 by a counter-based hash."""
    return np.searchsorted(_thresholds(), row_hash(keys, resample), side="right").astype(np.uint8)


def _interval(values: NDArray[np.float64], keys: NDArray[np.uint64]) -> tuple[float, float] | None:
    means = [total / weight for total, weight in _resampled(values, keys) if weight > 0]
    ranked, tail = np.sort(np.array(means)), (1 - CONFIDENCE) / 2
    return (_quantile(ranked, tail), _quantile(ranked, 1 - tail)) if len(ranked) else None


def _resampled(values: NDArray[np.float64], keys: NDArray[np.uint64]) -> Iterator[tuple[float, int]]:
    """Weighted sum and weight of each resample."""
    for resample in range(RESAMPLES):
        total, weight = [], 0
        for start in range(0, len(values), _PIECE):
            weights = poisson_weights(keys[start : start + _PIECE], resample)
            total.append(float(np.sum(weights * values[start : start + _PIECE])))
            weight += int(weights.sum())
        yield math.fsum(total), weight


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
