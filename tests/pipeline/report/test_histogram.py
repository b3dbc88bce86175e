"""Bins and axes."""

import numpy as np
import pytest

from pipeline.report.histogram import axis_of, count_in_bins, shared_axis


def test_counts_are_those_of_numpy() -> None:
    values = np.sort(np.random.default_rng(0).normal(0, 1, 1000))
    axis = shared_axis([values])
    histogram = count_in_bins(values, axis, 20)
    expected, _ = np.histogram(values, bins=20, range=(axis.low, axis.high))
    assert histogram.counts == tuple(expected)
    assert max(histogram.heights) == 1.0
    assert histogram.intervals[0][0] == axis.low
    assert histogram.intervals[-1][1] == axis.high


def test_an_axis_holds_all_columns() -> None:
    axis = shared_axis([np.linspace(-3, 2, 50), np.linspace(5, 9, 50), np.zeros(0)])
    assert axis.low <= -3
    assert axis.high >= 9
    assert axis.ticks[0][1] == f"{axis.low:g}"
    assert 0 <= axis.place(-100) <= axis.place(4) <= axis.place(100) <= 1


def test_a_lone_value_far_away_does_not_squeeze_the_others() -> None:
    values = np.sort(np.append(np.random.default_rng(0).normal(0, 1, 999), 1e6))
    axis = shared_axis([values])
    assert axis.high < 10
    assert count_in_bins(values, axis).num_above >= 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (5.0, 5.0), (-1e-9, 1e-9), (-1e300, 1e300), (3.0, 1e9)])
def test_any_range_has_an_axis(low: float, high: float) -> None:
    axis = axis_of(low, high)
    assert axis.low <= low <= high <= axis.high
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 12


def test_no_values_have_an_axis_too() -> None:
    assert shared_axis([]).ticks
