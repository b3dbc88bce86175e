"""The reference is the definition by SciPy's entropy."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.metrics.inception_score import inception_score


def rows_of(count: int, classes: int = 30, spread: float = 3.0) -> NDArray[np.float32]:
    logits = np.random.default_rng(0).normal(0, spread, (count, classes))
    return np.asarray(scipy.special.softmax(logits, axis=1), np.float32)


def keys_of(count: int) -> NDArray[np.uint64]:
    return np.random.default_rng(1).integers(0, 2**64, count, np.uint64, endpoint=False)


def oracle(rows: NDArray[np.floating]) -> float:
    probabilities = rows.astype(np.float64)
    marginal = probabilities.mean(axis=0)
    return math.exp(np.mean([scipy.special.rel_entr(row, marginal).sum() for row in probabilities]))


def test_one_split_equals_scipy() -> None:
    rows = rows_of(200)
    found = inception_score(rows, keys_of(200), num_splits=1)
    assert found.mean == pytest.approx(oracle(rows), rel=1e-12)
    assert found.per_split == (found.mean,)
    assert (found.standard_deviation, found.num_rows) == (0.0, 200)
    # The same by entropies: of the marginal, less the mean of the rows'.
    exact = rows.astype(np.float64)
    entropies = scipy.stats.entropy(exact.mean(axis=0)) - scipy.stats.entropy(exact, axis=1).mean()
    assert found.mean == pytest.approx(math.exp(entropies), rel=1e-5)


def test_splits_are_summed_up() -> None:
    found = inception_score(rows_of(103), keys_of(103), num_splits=4)
    assert len(found.per_split) == 4
    assert found.mean == pytest.approx(np.mean(found.per_split), rel=1e-14)
    assert found.standard_deviation == pytest.approx(np.std(found.per_split), rel=1e-12)


def test_order_and_threads_change_no_bit() -> None:
    rows, keys = rows_of(503), keys_of(503)
    expected = inception_score(rows, keys)
    order = np.random.default_rng(2).permutation(503)
    assert inception_score(rows[order], keys[order]) == expected
    assert inception_score(np.asfortranarray(rows), keys) == expected
    for limit in (1, 3):
        with threadpool_limits(limit):
            assert inception_score(rows, keys) == expected


def test_splits_follow_seed_and_keys() -> None:
    rows, keys = rows_of(100), keys_of(100)
    expected = inception_score(rows, keys, seed=0).per_split
    assert inception_score(rows, keys, seed=1).per_split != expected
    assert inception_score(rows, keys[::-1].copy(), seed=0).per_split != expected


def test_the_ends_of_its_scale() -> None:
    alike = np.tile(rows_of(1), (20, 1))
    assert inception_score(alike, keys_of(20), num_splits=3).mean == pytest.approx(1.0, abs=1e-12)
    clear = np.tile(np.eye(5), (4, 1))
    assert inception_score(clear, keys_of(20), num_splits=1).mean == pytest.approx(5.0, rel=1e-12)


def test_refuses() -> None:
    rows, keys = rows_of(20), keys_of(20)
    with pytest.raises(ValueError, match="20 rows cannot be cut into 21 splits: set num_splits to 1 to 20"):
        inception_score(rows, keys, num_splits=21)
    with pytest.raises(ValueError, match="20 rows cannot be cut into 0 splits"):
        inception_score(rows, keys, num_splits=0)
    with pytest.raises(ValueError, match=r"miss a sum of 1 by 1, more than 0\.001: give a softmax"):
        inception_score(np.full((20, 4), 0.5), keys)
    with pytest.raises(ValueError, match=r"the probabilities have the shape \[30\]; expected \[n, K\]"):
        inception_score(rows[0], keys)
    with pytest.raises(ValueError, match=r"expected a key for each of 20 rows, got keys of shape \[19\]"):
        inception_score(rows, keys[1:])
    with pytest.raises(ValueError, match="belongs to two rows"):
        inception_score(rows, np.repeat(keys[:10], 2))
    broken = rows.copy()
    broken[3, 3] = np.nan
    with pytest.raises(ValueError, match="not all finite: leave such clips out, and count them"):
        inception_score(broken, keys)
