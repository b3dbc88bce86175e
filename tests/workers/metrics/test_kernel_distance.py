"""The reference is the definition written out pair by pair."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.metrics.kernel_distance import KernelDistance, kad


def rows_of(count: int, dimension: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((count, dimension)) + shift


def keys_of(count: int) -> NDArray[np.uint64]:
    return np.random.default_rng(99).integers(0, 2**64, count, np.uint64, endpoint=False)


def oracle(reference: NDArray[np.float64], generated: NDArray[np.float64]) -> tuple[float, float]:
    """Value and bandwidth."""

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return math.exp(-(math.dist(x, y) ** 2) / (2 * bandwidth**2))

    def within(rows: NDArray[np.float64]) -> float:
        pairs = [kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
        return math.fsum(pairs) / len(pairs)

    bandwidth = float(np.median([math.dist(x, y) for i, x in enumerate(reference) for y in reference[:i]]))
    between = math.fsum(kernel(x, y) for x in reference for y in generated) / len(reference) / len(generated)
    return 100 * (within(reference) + within(generated) - 2 * between), bandwidth


@pytest.mark.parametrize(("counts", "shift"), [((30, 41), 0.0), ((31, 40), 0.3), ((2, 2), 1.0), ((3, 60), 4.0)])
def test_equals_the_definition(counts: tuple[int, int], shift: float) -> None:
    # On multiples of 2⁻²⁰, so that rounding has no part in the difference.
    reference = np.rint(rows_of(counts[0], 7, 0) * 2**20) / 2**20
    generated = np.rint(rows_of(counts[1], 7, 1, shift) * 2**20) / 2**20
    value, bandwidth = oracle(reference, generated)
    found = kad(reference, generated, block_rows=16)
    assert found.value == pytest.approx(value, rel=0, abs=1e-11)
    assert found.bandwidth == pytest.approx(bandwidth, rel=1e-14)
    assert (found.num_reference, found.num_generated, found.dimension, found.bandwidth_rows) == (*counts, 7, counts[0])


def test_rounded_embeddings_are_near_enough() -> None:
    reference, generated = (row / np.linalg.norm(row) for row in (rows_of(40, 64, 0), rows_of(40, 64, 1, 0.5)))
    assert kad(reference, generated).value == pytest.approx(oracle(reference, generated)[0], rel=1e-3)


@pytest.mark.parametrize("median_rows", [4096, 50])
def test_order_blocks_and_threads_change_no_bit(median_rows: int) -> None:
    reference, generated, keys = rows_of(203, 48, 0), rows_of(170, 48, 1, 0.2), keys_of(203)
    expected = kad(reference, generated, reference_keys=keys, median_rows=median_rows)
    for block_rows in (37, 64, 170, 4096):
        found = kad(reference, generated, reference_keys=keys, median_rows=median_rows, block_rows=block_rows)
        assert found == expected
    rng = np.random.default_rng(2)
    order = rng.permutation(203)
    shuffled = kad(reference[order], rng.permutation(generated), reference_keys=keys[order], median_rows=median_rows)
    assert shuffled == expected
    for limit in (1, 3):
        with threadpool_limits(limit):
            assert kad(reference, generated, reference_keys=keys, median_rows=median_rows, block_rows=128) == expected


def test_blocks_of_few_rows_change_no_bit() -> None:
    reference, generated = rows_of(13, 5, 0), rows_of(11, 5, 1)
    for block_rows in range(1, 14):
        assert kad(reference, generated, block_rows=block_rows) == kad(reference, generated)


def test_the_median_of_many_rows_is_that_of_rows_that_the_keys_choose() -> None:
    reference, generated, keys = rows_of(600, 8, 0), rows_of(50, 8, 1), keys_of(600)
    found = kad(reference, generated, reference_keys=keys, median_rows=200)
    every = kad(reference, generated)
    assert (found.bandwidth_rows, every.bandwidth_rows) == (200, 600)
    assert found.bandwidth == pytest.approx(every.bandwidth, rel=0.05)
    assert found.bandwidth != every.bandwidth
    assert kad(reference, generated, reference_keys=keys, median_rows=200, seed=1).bandwidth != found.bandwidth
    with pytest.raises(ValueError, match="the reference has 600 rows, more than median_rows 200: give reference_keys"):
        kad(reference, generated, median_rows=200)


def test_the_bandwidth_is_that_of_the_reference() -> None:
    narrow, wide = rows_of(60, 5, 0), 3 * rows_of(60, 5, 1)
    assert kad(wide, narrow).bandwidth > 2 * kad(narrow, wide).bandwidth


def test_one_source_is_near_nothing_and_another_is_far() -> None:
    reference = rows_of(300, 16, 0)
    assert abs(kad(reference, rows_of(300, 16, 1)).value) < 0.2
    assert kad(reference, rows_of(300, 16, 1, 1.0)).value > 5


def test_equal_rows() -> None:
    found = kad(np.array([[0.0], [1.0]]), np.ones((3, 1)))
    kernel = math.exp(-0.5)
    assert found.value == pytest.approx(100 * (kernel + 1 - (1 + kernel)), abs=1e-12)
    assert isinstance(found, KernelDistance)
    with pytest.raises(ValueError, match="the median distance between 5 reference rows is 0, and no bandwidth"):
        kad(np.ones((5, 2)), rows_of(5, 2, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"generated": np.zeros((5, 2))}, "the reference embeddings have 3 dimensions and the generated 2: embed both"),
        ({"generated": np.zeros((1, 3))}, "9 reference and 1 generated rows: at least 2 of each are needed"),
        ({"reference": np.full((4, 3), np.nan)}, "embedding 0 has nan in column 0"),
        ({"generated": np.full((4, 3), 20.0)}, "embedding 0 has 20 in column 0, outside the exact range"),
        ({"block_rows": 0}, "block_rows 0 is outside 1 to 4096"),
        ({"median_rows": 1}, "median_rows 1 leaves no distance: set at least 2"),
    ],
)
def test_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kad(**{"reference": rows_of(9, 3, 0), "generated": rows_of(5, 3, 1), **change})
