"""Random choices that belong to a row."""

import numpy as np
import pytest

from workers.metrics.row_hash import row_hash, shuffled
from workers.metrics.statistics import poisson_weights

KEYS = np.random.default_rng(0).integers(0, 2**64, 500, np.uint64, endpoint=False)


def test_equals_splitmix64() -> None:
    # The first numbers of the published generator, from the seed 1234567.
    seed = np.array([1234567], np.uint64)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [int(row_hash(seed, step)[0]) for step in range(3)] == expected


def test_the_order_belongs_to_the_rows() -> None:
    order = shuffled(KEYS, 3, 500)
    assert sorted(order.tolist()) == list(range(500))
    again = np.random.default_rng(1).permutation(500)
    np.testing.assert_array_equal(KEYS[again][shuffled(KEYS[again], 3, 500)], KEYS[order])
    assert not np.array_equal(shuffled(KEYS, 4, 500), order)
    np.testing.assert_array_equal(shuffled(KEYS, 3 + 2**64, 500), order)


def test_weights_of_a_bootstrap_do_not_follow_from_the_place() -> None:
    keys = np.random.default_rng(2).integers(0, 2**64, 20_000, np.uint64, endpoint=False)
    weights = poisson_weights(keys, range(1))[0][shuffled(keys, 0, len(keys))]
    assert abs(np.corrcoef(weights, np.arange(len(keys)))[0, 1]) < 0.03


def test_refuses_keys_that_give_no_order() -> None:
    with pytest.raises(ValueError, match="key 7 belongs to two rows, whose order would be arbitrary"):
        shuffled(np.array([7, 1, 7], np.uint64), 0, 3)
    with pytest.raises(ValueError, match=r"expected a key for each of 4 rows, got keys of shape \[3\]"):
        shuffled(np.arange(3, dtype=np.uint64), 0, 4)
    with pytest.raises(TypeError, match="the keys are int64: give a uint64 hash"):
        shuffled(np.arange(3), 0, 3)
