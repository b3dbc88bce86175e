"""Statistics of number columns, against numpy's."""

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.report.fields import sort_fields
from pipeline.report.numbers import QUANTILES, format_number, summarise_numbers
from pipeline.store import LatentStore


def test_statistics_are_those_of_numpy(numbers_store: Callable[..., LatentStore]) -> None:
    values = np.random.default_rng(3).normal(5, 2, 200)
    given = [None if n % 10 == 0 else float(value) for n, value in enumerate(values)]
    given[1], given[2] = float("inf"), float("-inf")
    store = numbers_store({"lsd": given}, statuses=["lsd"])
    ((summary,),) = [group.summaries for group in summarise_numbers(store, sort_fields(store.schema))]
    finite = np.array([value for value in given if value is not None and np.isfinite(value)])
    assert (summary.num_units, summary.num_values, summary.num_infinite) == (200, 180, 2)
    assert summary.coverage == pytest.approx(0.9)
    np.testing.assert_allclose([summary.mean, summary.std], [finite.mean(), finite.std()], rtol=1e-12)
    np.testing.assert_allclose(summary.quantiles, np.quantile(finite, QUANTILES), rtol=1e-12)
    assert (summary.lowest, summary.highest) == (finite.min(), finite.max())
    assert summary.statuses == (("ok", 180), ("too_short", 20))
    histogram = summary.histogram
    assert sum(histogram.counts) + histogram.num_below + histogram.num_above == len(finite)


def test_numbers_do_not_depend_on_the_parts(numbers_store: Callable[..., LatentStore]) -> None:
    values = {"lsd": np.random.default_rng(4).lognormal(0, 3, 500).tolist()}
    stores = [numbers_store(values, parts=parts, name=f"s{parts}") for parts in (1, 7)]
    found = [summarise_numbers(store, sort_fields(store.schema)) for store in stores]
    assert found[0] == found[1]


def test_a_column_without_values(numbers_store: Callable[..., LatentStore]) -> None:
    store = numbers_store({"lsd": [None] * 5})
    (group,) = summarise_numbers(store, sort_fields(store.schema))
    (summary,) = group.summaries
    assert (summary.coverage, summary.mean, summary.quantiles) == (0.0, None, None)
    assert sum(summary.histogram.counts) == 0


@pytest.mark.parametrize(
    ("value", "decimals", "unit", "text"),
    [
        (1234.567, 2, "dB", "1,234.57 dB"),
        (-0.0001, 2, "", "0.00"),
        (-1.5, 1, "", "−1.5"),
        (float("inf"), 2, "dB", "∞ dB"),
        (float("-inf"), 0, "", "−∞"),
        (None, 2, "dB", "–"),
        (float("nan"), 2, "", "–"),
    ],
)
def test_numbers_as_text(value: float | None, decimals: int, unit: str, text: str) -> None:
    assert format_number(value, decimals, unit) == text
