"""The reference is SciPy's matrix root."""

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.metrics.embedding_moments import EmbeddingMoments
from workers.metrics.frechet import fad, frechet_distance


def rows_of(count: int, dimension: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((dimension, dimension)) / np.sqrt(dimension)
    return np.clip(rng.standard_normal((count, dimension)) @ mixing + 0.2 * rng.standard_normal(dimension), -15, 15)


def oracle(reference: NDArray[np.float64], generated: NDArray[np.float64]) -> float:
    first, second = np.cov(reference, rowvar=False), np.cov(generated, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second).real
    shift = reference.mean(axis=0) - generated.mean(axis=0)
    return float(shift @ shift + np.trace(first + second - 2 * root))


def moments(rows: NDArray[np.float64]) -> EmbeddingMoments:
    return EmbeddingMoments.of(rows)


@pytest.mark.parametrize(("dimension", "counts"), [(2, (50, 70)), (16, (400, 300)), (64, (500, 900))])
def test_equals_scipy(dimension: int, counts: tuple[int, int]) -> None:
    # On multiples of 2⁻²⁰, so that rounding has no part in the difference.
    first, second = (np.rint(rows_of(count, dimension, seed) * 2**20) / 2**20 for seed, count in enumerate(counts))
    found = fad(moments(first), moments(second))
    assert found.value == pytest.approx(oracle(first, second), rel=1e-9)
    assert (found.num_reference, found.num_generated, found.dimension) == (*counts, dimension)
    backwards = fad(moments(second), moments(first))
    assert backwards.value == pytest.approx(found.value, rel=1e-9)


def test_rounded_embeddings_are_near_enough() -> None:
    first, second = (rows_of(500, 32, seed) for seed in (1, 2))
    assert fad(moments(first), moments(second)).value == pytest.approx(oracle(first, second), rel=1e-5)


def test_gaussians_whose_distance_is_known() -> None:
    # Covariances that commute: Σ (√a - √b)² beside the squared distance of the means.
    first, second = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 0.0])
    mean = np.array([0.0, 1.0, 2.0])
    assert frechet_distance(mean, first, mean + 1, second) == pytest.approx(3 + 1 + 0 + 9, rel=1e-14)
    assert frechet_distance(mean, first, mean, first) == pytest.approx(0, abs=1e-14)
    assert frechet_distance(mean, first, mean, first) >= 0


def test_one_set_is_at_no_distance_from_itself() -> None:
    one = moments(rows_of(300, 24, 5))
    assert 0 <= fad(one, one).value < 1e-12


def test_few_rows_only_when_asked() -> None:
    few, many = moments(rows_of(10, 16, 0)), moments(rows_of(100, 16, 1))
    with pytest.raises(ValueError, match="n < d: the generated set has 10 rows of 16 dimensions, too few"):
        fad(many, few)
    with pytest.raises(ValueError, match="n < d: the reference set has 10 rows of 16 dimensions"):
        fad(few, many)
    found = fad(many, few, allow_few=True)
    assert found.num_generated == 10
    assert found.value == pytest.approx(oracle(rows_of(100, 16, 1), rows_of(10, 16, 0)), rel=1e-3)
    with pytest.raises(ValueError, match="1 rows have no covariance"):
        fad(many, moments(rows_of(1, 16, 0)), allow_few=True)


def test_refuses_embeddings_of_two_models() -> None:
    with pytest.raises(ValueError, match="the reference embeddings have 4 dimensions and the generated 5: embed both"):
        fad(moments(rows_of(9, 4, 0)), moments(rows_of(9, 5, 0)))


def test_order_and_threads_change_no_bit() -> None:
    first, second = rows_of(300, 96, 1), rows_of(200, 96, 2)
    expected, rng = fad(moments(first), moments(second)), np.random.default_rng(0)
    assert fad(moments(rng.permutation(first)), moments(second[:99]) + moments(second[99:])) == expected
    before = torch.get_num_threads()
    for limit in (1, 3):
        torch.set_num_threads(limit)  # threadpoolctl does not reach what torch has linked in
        with threadpool_limits(limit):
            assert fad(moments(first), moments(second)) == expected
    torch.set_num_threads(before)
