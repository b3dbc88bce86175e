"""How values are spread, in bins that several histograms can share."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 32
_FAR = 4.0
"""A range this many times as wide as that of the middle 98 % is cut to it: a lone value would squeeze all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A range of values with round numbers along it."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    """Where between low (0) and high (1), and what stands there."""

    def place(self, value: float) -> float:
        """Where a value lies between low (0) and high (1), at most at either end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Values counted in bins of equal width."""

    axis: Axis
    counts: tuple[int, ...]
    num_below: int
    """Values that lie before the axis begins."""
    num_above: int
    """Values that lie behind its end."""

    @property
    def heights(self) -> tuple[float, ...]:
        """Of the bars, the highest of which is 1."""
        highest = max(self.counts, default=0)
        return tuple(round(count / highest, 4) if highest else 0.0 for count in self.counts)

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """From where to where each bar goes."""
        edges = np.linspace(self.axis.low, self.axis.high, len(self.counts) + 1).tolist()
        return tuple(pairwise(edges))


def shared_axis(columns: Iterable[NDArray[np.float64]]) -> Axis:
    """The axis that columns of finite values, each sorted, are drawn on together."""
    lows, highs, inner_lows, inner_highs = [], [], [], []
    for values in columns:
        if len(values):
            lows.append(float(values[0]))
            highs.append(float(values[-1]))
            inner_lows.append(float(np.quantile(values, 0.01)))
            inner_highs.append(float(np.quantile(values, 0.99)))
    if not lows:
        return axis_of(0.0, 1.0)
    low, high, inner_low, inner_high = min(lows), max(highs), min(inner_lows), max(inner_highs)
    if inner_high > inner_low and high - low > _FAR * (inner_high - inner_low):
        low, high = inner_low, inner_high
    return axis_of(low, high)


def axis_of(low: float, high: float) -> Axis:
    """An axis from round number to round number, with at most six of them."""
    from matplotlib.ticker import MaxNLocator

    if not high > low or not np.isfinite(high - low):
        margin = max(abs(low), 1.0) * 0.5
        low, high = low - margin, low + margin
    marks = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    low, high = float(marks[0]), float(marks[-1])
    ticks = tuple((round(float((mark - low) / (high - low)), 5), f"{round(float(mark), 10):g}") for mark in marks)
    return Axis(low=low, high=high, ticks=ticks)


def count_in_bins(values: NDArray[np.float64], axis: Axis, num_bins: int = NUM_BINS) -> Histogram:
    """Counts finite values, sorted."""
    counts, _ = np.histogram(values, bins=num_bins, range=(axis.low, axis.high))
    return Histogram(
        axis=axis,
        counts=tuple(counts.tolist()),
        num_below=int(np.searchsorted(values, axis.low, side="left")),
        num_above=int(len(values) - np.searchsorted(values, axis.high, side="right")),
    )
