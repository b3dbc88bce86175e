"""The references are Python's integers and fractions, and numpy."""

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.metrics.embedding_moments import MAX_ROWS, EmbeddingMoments

STEP = 2.0**-20


def embeddings(count: int = 5000, dimension: int = 12) -> NDArray[np.float64]:
    """Correlated, and far from their origin in some columns."""
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((count, dimension)) @ rng.standard_normal((dimension, dimension)) * 0.3
    return np.clip(mixed + rng.uniform(-9, 9, dimension), -15.9, 15.9)


def bits(moments: EmbeddingMoments) -> tuple[int, bytes, bytes, bytes, bytes]:
    mean, covariance = moments.mean().tobytes(), moments.covariance().tobytes()
    return moments.num_rows, moments.sums.tobytes(), moments.moments.tobytes(), mean, covariance


def merged(parts: Sequence[NDArray[np.float64]]) -> EmbeddingMoments:
    return reduce(add, [EmbeddingMoments.of(part) for part in parts])


def test_integers_equal_those_of_python() -> None:
    rows = embeddings(50, 4)
    units = [[round(value * 2**20) for value in row] for row in rows.tolist()]
    found = EmbeddingMoments.of(rows)
    high, mixed, low = found.moments.astype(object)
    np.testing.assert_array_equal((high << 24) + ((mixed + mixed.T) << 12) + low, np.array(units, object).T @ units)
    np.testing.assert_array_equal((found.sums[0] << 12) + found.sums[1], np.sum(units, axis=0))


def test_mean_and_covariance_equal_fractions() -> None:
    rows = np.rint(embeddings(40, 3) / STEP) * STEP
    rows[:, 2] = 12 + STEP * (np.arange(40) % 2)  # a mean 10⁷ times the deviation
    found, count = EmbeddingMoments.of(rows), len(rows)
    exact = [[Fraction(value) for value in column] for column in rows.T.tolist()]
    means = [sum(column) / count for column in exact]
    assert found.mean().tolist() == [float(mean) for mean in means]
    for i in range(3):
        for j in range(3):
            pairs = zip(exact[i], exact[j], strict=True)
            expected = float(sum((x - means[i]) * (y - means[j]) for x, y in pairs) / (count - 1))
            assert found.covariance()[i, j] == pytest.approx(expected, rel=1e-13, abs=1e-19)


def test_against_numpy() -> None:
    rows = embeddings()
    found = EmbeddingMoments.of(rows)
    np.testing.assert_allclose(found.mean(), rows.mean(axis=0), rtol=0, atol=STEP / 2)
    np.testing.assert_allclose(found.covariance(), np.cov(rows, rowvar=False), rtol=0, atol=1e-6)
    covariance = found.covariance()
    np.testing.assert_array_equal(covariance, covariance.T)


def test_order_partition_and_threads_change_no_bit() -> None:
    rows = embeddings(9000)  # more than are multiplied at once
    expected, rng = bits(EmbeddingMoments.of(rows)), np.random.default_rng(3)
    for _ in range(5):
        parts = np.split(rng.permutation(rows), np.sort(rng.integers(0, 9000, 7)))
        assert bits(merged(parts)) == bits(merged(parts[::-1])) == expected
    for limit in (1, 3):
        with threadpool_limits(limit):
            assert bits(EmbeddingMoments.of(rows)) == expected
    assert bits(EmbeddingMoments.of(np.asfortranarray(rows))) == expected


def test_float32_rows_give_the_bits_of_their_values() -> None:
    rows = embeddings(100).astype(np.float32)
    assert bits(EmbeddingMoments.of(rows)) == bits(EmbeddingMoments.of(rows.astype(np.float64)))


def test_the_largest_values_and_counts_do_not_overflow() -> None:
    largest = 16 - STEP
    rows = np.array([[largest, -largest, 0.0], [-largest, largest, 0.0]])
    half = EmbeddingMoments.of(rows)
    for _ in range(25):
        half = half + half
    assert half.num_rows == MAX_ROWS
    np.testing.assert_array_equal(half.mean(), [0, 0, 0])
    expected = largest**2 * MAX_ROWS / (MAX_ROWS - 1)
    np.testing.assert_allclose(half.covariance()[:2, :2], [[expected, -expected], [-expected, expected]], rtol=1e-15)
    constant = EmbeddingMoments.of(np.full((1, 2), -largest))
    for _ in range(26):
        constant = constant + constant
    np.testing.assert_array_equal(constant.mean(), [-largest, -largest])
    np.testing.assert_array_equal(constant.covariance(), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="134217728 rows are outside 0 to 67108864, where the sums are exact"):
        half + half


def test_no_rows_add_nothing() -> None:
    rows = embeddings(10)
    nothing = EmbeddingMoments.of(rows[:0])
    assert bits(EmbeddingMoments.of(rows) + nothing) == bits(EmbeddingMoments.of(rows))
    with pytest.raises(ValueError, match="0 rows have no mean: at least 1 are needed"):
        nothing.mean()
    with pytest.raises(ValueError, match="1 rows have no covariance: at least 2 are needed"):
        EmbeddingMoments.of(rows[:1]).covariance()


def test_refuses_what_does_not_belong_together() -> None:
    with pytest.raises(ValueError, match="embeddings of 12 and of 3 dimensions do not belong to one set"):
        EmbeddingMoments.of(embeddings(10)) + EmbeddingMoments.of(embeddings(10, 3))
    with pytest.raises(ValueError, match="embedding 0 has nan in column 1"):
        EmbeddingMoments.of(np.array([[0.0, np.nan]]))
