"""Embeddings as integers."""

import numpy as np
import pytest

from workers.metrics.fixed_point import fixed_point, limbs

LARGEST = 16 - 2.0**-20


def test_rounds_to_the_nearest_and_halves_to_even() -> None:
    given = np.array([[0.0, 1.0, -1.0, LARGEST, -LARGEST, 2.0**-21, 3 * 2.0**-21, -(2.0**-21), 0.1]])
    expected = [0, 1 << 20, -(1 << 20), (1 << 24) - 1, 1 - (1 << 24), 0, 2, 0, 104858]
    np.testing.assert_array_equal(fixed_point(given), [expected])
    np.testing.assert_array_equal(fixed_point(given[:, :-1].astype(np.float32)), [expected[:-1]])


def test_limbs_make_up_the_value() -> None:
    units = fixed_point(np.random.default_rng(0).uniform(-LARGEST, LARGEST, (100, 7)))
    units[0] = [0, 1, -1, (1 << 24) - 1, 1 - (1 << 24), 4096, -4096]
    high, low = limbs(units)
    np.testing.assert_array_equal(high * 4096 + low, units)
    assert -4096 <= high.min() <= high.max() <= 4095
    assert 0 <= low.min() <= low.max() <= 4095


def test_what_comes_in_may_have_any_layout_and_is_not_changed() -> None:
    given = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    expected, copy = fixed_point(given), given.copy()
    np.testing.assert_array_equal(fixed_point(np.asfortranarray(given)), expected)
    np.testing.assert_array_equal(fixed_point(given[::2, ::-1]), expected[::2, ::-1])
    np.testing.assert_array_equal(given, copy)
    assert fixed_point(given[:0]).shape == (0, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_refuses_values_that_have_no_integer(dtype: type[np.floating]) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        given = np.zeros((5, 3), dtype)
        given[2, 1] = bad
        with pytest.raises(ValueError, match=f"embedding 2 has {bad} in column 1: leave out rows"):
            fixed_point(given)
    for bad in (16.0, -16.0, 1e30):
        given = np.zeros((5, 3), dtype)
        given[4, 0] = bad
        with pytest.raises(ValueError, match=r"embedding 4 has .* in column 0, outside the exact range of ±16: divide"):
            fixed_point(given)
    with pytest.raises(ValueError, match="has 16 in column 0"):
        fixed_point(np.full((1, 1), 16 - 2.0**-22))  # it would be rounded to 16


def test_refuses_what_is_no_set_of_embeddings() -> None:
    with pytest.raises(TypeError, match="the embeddings are float16: give float32 or float64"):
        fixed_point(np.zeros((2, 2), np.float16))
    with pytest.raises(ValueError, match=r"the embeddings have the shape \[3\]; expected \[n, d\]"):
        fixed_point(np.zeros(3))
    with pytest.raises(ValueError, match=r"the shape \[3, 0\]"):
        fixed_point(np.zeros((3, 0)))
