"""Counting codes gives what adding up values gives."""

from typing import Any

import numpy as np
import pytest

from pipeline.store import statistics
from pipeline.store.code_sums import code_counts, counted_sums
from pipeline.store.statistics import channel_sums


def test_codes_are_counted_wherever_they_lie() -> None:
    values = np.random.default_rng(0).standard_normal((700, 3, 512)).astype(np.float16)  # several blocks
    expected = np.bincount(values[:, 1].copy().view(np.uint16).ravel(), minlength=65536)
    np.testing.assert_array_equal(code_counts(values[:, 1]), expected)
    assert code_counts(values[:0]).sum() == 0


@pytest.mark.parametrize("exponentials", [False, True])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 40.0, 6e4])
def test_both_ways_give_equal_sums(monkeypatch: pytest.MonkeyPatch, scale: float, exponentials: bool) -> None:
    values = (np.random.default_rng(1).uniform(-1, 1, (40, 2, 90)) * scale).astype(np.float16)
    one_by_one = channel_sums(values, exponentials=exponentials)
    monkeypatch.setattr(statistics, "_WORTH_COUNTING", 1)
    assert channel_sums(values, exponentials=exponentials) == one_by_one


def test_every_code_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    values: Any = np.arange(65536, dtype=np.uint16).view(np.float16).reshape(1, 1, -1)
    counted = channel_sums(values, exponentials=True)
    assert counted.counts == (65536 - 2 * 1024,)  # without the infinities and the NaNs
    monkeypatch.setattr(statistics, "_WORTH_COUNTING", 1 << 20)
    assert channel_sums(values, exponentials=True) == counted


def test_more_values_than_floats_can_add_up() -> None:
    counts = np.zeros(65536, np.int64)
    counts[np.array([65504.0, 0.5, 1.0], np.float16).view(np.uint16)] = [2**31, 1, 3]
    finite, values, squares = counted_sums(counts, exponentials=False)
    assert finite == 2**31 + 4
    assert values == ((65504 * 2**31 + 3) << 24) + (1 << 23)
    assert squares == ((65504**2 * 2**31 + 3) << 24) + (1 << 22)
