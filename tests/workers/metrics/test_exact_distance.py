"""The reference is integer arithmetic written out."""

import numpy as np
import pytest

from workers.metrics.exact_distance import MAX_DIMENSION, ExactEmbeddings
from workers.metrics.fixed_point import fixed_point


def test_equals_integer_differences() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(-15, 15, (9, 33)), rng.standard_normal((7, 33)).astype(np.float32)
    units = fixed_point(first).astype(np.int64), fixed_point(second).astype(np.int64)
    expected = np.square(units[0][:, None] - units[1][None]).sum(axis=2)
    found = ExactEmbeddings(first).squared_distances(slice(2, 9), ExactEmbeddings(second), slice(0, 5))
    np.testing.assert_array_equal(found, expected[2:9, :5])


def test_the_largest_distance_does_not_overflow() -> None:
    largest = np.full((1, MAX_DIMENSION), 16 - 2.0**-20)
    found = ExactEmbeddings(largest).squared_distances(slice(0, 1), ExactEmbeddings(-largest), slice(0, 1))
    assert int(found[0, 0]) == MAX_DIMENSION * (2 * (2**24 - 1)) ** 2
    with pytest.raises(ValueError, match="embeddings of 4097 dimensions: distances are exact up to 4096"):
        ExactEmbeddings(np.zeros((2, MAX_DIMENSION + 1)))


def test_blocks_cover_every_row_once() -> None:
    one = ExactEmbeddings(np.zeros((10, 2)))
    assert [(block.start, block.stop) for block in one.blocks(4)] == [(0, 4), (4, 8), (8, 10)]
    assert (len(one), one.dimension) == (10, 2)
