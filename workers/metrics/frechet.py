"""Fréchet distance between two sets of embeddings."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.metrics.embedding_moments import EmbeddingMoments
from workers.metrics.one_thread import one_thread


@dataclass(frozen=True, slots=True, kw_only=True)
class FrechetDistance:
    """A distance, and from how much it was estimated: it is biased upwards, the more the fewer rows there are."""

    value: float
    """At least 0, in squared units of the embedding."""

    num_reference: int
    """Rows of the reference set, n."""

    num_generated: int
    """Rows of the generated set, n."""

    dimension: int
    """Of the embeddings, d."""


def fad(reference: EmbeddingMoments, generated: EmbeddingMoments, *, allow_few: bool = False) -> FrechetDistance:
    """Fréchet audio distance: that between Gaussians with the means and covariances of two sets.

    Kilgour et al., https://doi.org/10.21437/Interspeech.2019-2219. The same to the bit for any order, partition and
    number of threads, on processors of one kind.

    Args:
        reference: Embeddings of real sounds.
        generated: Embeddings of those to be judged.
        allow_few: Whether to go on where a set has fewer rows than dimensions and its covariance is singular.

    Raises:
        ValueError: The dimensions differ, a set has fewer than two rows, or fewer than d without `allow_few`.
    """
    if reference.dimension != generated.dimension:
        raise ValueError(
            f"the reference embeddings have {reference.dimension} dimensions and the generated {generated.dimension}: "
            "embed both with one model"
        )
    dimension = reference.dimension
    for name, moments in (("reference", reference), ("generated", generated)):
        if moments.num_rows < dimension and not allow_few:
            raise ValueError(
                f"n < d: the {name} set has {moments.num_rows} rows of {dimension} dimensions, too few for a "
                "covariance of full rank; give more rows, or set allow_few to take a distance that is far too large"
            )
    means, covariances = zip(*((one.mean(), one.covariance()) for one in (reference, generated)), strict=True)
    equal = np.array_equal(*means) and np.array_equal(*covariances)  # what eigenvalues would leave is rounding
    return FrechetDistance(
        value=0.0 if equal else frechet_distance(means[0], covariances[0], means[1], covariances[1]),
        num_reference=reference.num_rows,
        num_generated=generated.num_rows,
        dimension=dimension,
    )


def frechet_distance(
    first_mean: NDArray[np.float64],
    first_covariance: NDArray[np.float64],
    second_mean: NDArray[np.float64],
    second_covariance: NDArray[np.float64],
) -> float:
    """Squared Fréchet distance between two Gaussians, ‖μ₁ - μ₂‖² + tr(S₁ + S₂ - 2 (S₁^½ S₂ S₁^½)^½), at least 0.

    Dowson and Landau, https://doi.org/10.1016/0047-259X(82)90077-X. The inner matrix is symmetric, so its eigenvalues
    are real, and what rounding leaves below 0 is 0; a root of S₁ S₂ itself can come out complex.

    Args:
        first_mean: [d].
        first_covariance: [d, d], symmetric.
        second_mean: [d].
        second_covariance: [d, d], symmetric.
    """
    first, second = torch.from_numpy(first_covariance), torch.from_numpy(second_covariance)
    with one_thread():  # the last bits of products and eigenvalues depend on how many threads share them
        values, vectors = torch.linalg.eigh(first)
        root = vectors * _root(values) @ vectors.T
        inner = root @ second @ root
        cross = _root(torch.linalg.eigvalsh((inner + inner.T) / 2))
    traces = [*np.diagonal(first_covariance), *np.diagonal(second_covariance)]
    distance = math.fsum([*np.square(first_mean - second_mean), *traces, *(-2.0 * cross).tolist()])
    return max(0.0, distance)


def _root(eigenvalues: Tensor) -> Tensor:
    return eigenvalues.clamp(min=0.0).sqrt()
