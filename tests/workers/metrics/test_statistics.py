"""What many values say together."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.metrics import statistics as module
from workers.metrics.statistics import RESAMPLES, Statistics, poisson_weights


def keys_of(count: int, seed: int = 0) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64, endpoint=False)


def statistics(values: NDArray[np.float64], keys: NDArray[np.uint64]) -> Statistics:
    return module.statistics({"value": values}, keys)["value"]


def test_against_numpy() -> None:
    values = np.random.default_rng(0).normal(3, 2, 1001)
    found = statistics(values, keys_of(1001))
    assert found.num_values == 1001
    assert found.mean == math.fsum(values) / 1001
    assert found.median == pytest.approx(np.median(values), abs=1e-12)
    assert found.quantiles == pytest.approx(np.quantile(values, [0.05, 0.25, 0.75, 0.95]), abs=1e-12)


def test_the_order_of_rows_changes_no_bit() -> None:
    rng = np.random.default_rng(1)
    values, keys = rng.normal(0, 1, 70_000) * 10.0 ** rng.integers(-8, 8, 70_000), keys_of(70_000)
    order = rng.permutation(70_000)
    assert statistics(values[order], keys[order]) == statistics(values, keys)


def test_weights_are_poisson_and_belong_to_the_row() -> None:
    keys = keys_of(200_000)
    weights = poisson_weights(keys, range(7, 8))[0]
    shares = np.bincount(weights, minlength=6)[:6] / len(keys)
    expected = [math.exp(-1) / math.factorial(count) for count in range(6)]
    np.testing.assert_allclose(shares, expected, atol=0.005)
    np.testing.assert_array_equal(poisson_weights(keys[::-1], range(5, 9))[2], weights[::-1])
    assert abs(np.corrcoef(weights, poisson_weights(keys, range(8, 9))[0])[0, 1]) < 0.01


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for trial in range(60):
        interval = statistics(rng.exponential(1.0, 200), keys_of(200, seed=trial)).interval
        assert interval is not None
        held += interval[0] <= 1.0 <= interval[1]
    assert 52 <= held <= 60  # 57 of 60, and chance


def test_its_width_is_that_of_the_mean() -> None:
    values = np.random.default_rng(3).normal(0, 1, 10_000)
    low, high = statistics(values, keys_of(10_000)).interval or (0.0, 0.0)
    assert high - low == pytest.approx(2 * 1.96 / 100, rel=0.1)
    assert RESAMPLES == 1000


def test_missing_values_count_for_nothing() -> None:
    values = np.array([1.0, np.nan, 3.0, np.nan])
    keys = keys_of(4)
    found, alone = statistics(values, keys), statistics(values[[0, 2]], keys[[0, 2]])
    assert found == alone
    nothing = statistics(np.array([np.nan]), keys_of(1))
    assert (nothing.num_values, nothing.mean, nothing.interval, nothing.median) == (0, None, None, None)


def test_infinite_values_are_told_and_no_nan_comes_of_them() -> None:
    found = statistics(np.array([1.0, math.inf, 2.0, math.inf, 3.0]), keys_of(5))
    assert (found.mean, found.interval, found.median) == (math.inf, None, 3.0)
    assert found.quantiles is not None
    assert found.quantiles[-1] == math.inf
    assert statistics(np.array([math.inf, -math.inf]), keys_of(2)).mean is None


def test_columns_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(4)
    columns = {"whole": rng.normal(0, 1, 500), "gaps": rng.normal(0, 1, 500), "infinite": rng.normal(0, 1, 500)}
    columns["gaps"][::3] = np.nan
    columns["infinite"][7] = math.inf
    keys = keys_of(500)
    together = module.statistics(columns, keys)
    assert together == {name: statistics(values, keys) for name, values in columns.items()}


def test_a_difference_is_as_sure_as_its_pairs_are_alike() -> None:
    """The same weights for both: what rows have in common does not widen the interval of the difference."""
    rng = np.random.default_rng(5)
    common = rng.normal(0, 10, 1000)
    better = common + rng.normal(1, 0.1, 1000)
    low, high = statistics(better - common, keys_of(1000)).interval or (0.0, 0.0)
    assert 0.98 < low < high < 1.02


def test_parts_of_one_recording_are_drawn_together() -> None:
    rng = np.random.default_rng(6)
    of_source = rng.normal(0, 1, 200)
    values, keys, sources = np.repeat(of_source, 10), keys_of(2000), np.repeat(keys_of(200, seed=9), 10)
    apart, together = (
        module.statistics({"value": values}, keys, drawn)["value"].interval or (0.0, 0.0) for drawn in (None, sources)
    )
    alone = statistics(of_source, keys_of(200, seed=9)).interval or (0.0, 0.0)
    assert together == pytest.approx(alone, abs=1e-9)
    assert together[1] - together[0] > 2.5 * (apart[1] - apart[0])
