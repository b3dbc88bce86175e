"""Kernel audio distance between two sets of embeddings."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.exact_distance import MAX_BLOCK_ROWS, ExactEmbeddings
from workers.metrics.fixed_point import FRACTION_BITS
from workers.metrics.row_hash import shuffled

MEDIAN_ROWS: Final = 4096
"""Most reference rows whose distances are all taken for the median."""

_SCALE = 100
_KERNEL_UNITS = 2**50
"""Kernel values are integers of this unit: rows of `MAX_BLOCK_ROWS` of them fit int64."""


class NoSpreadError(ValueError):
    """The reference rows are so alike that their median distance is no bandwidth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDistance:
    """A distance, and what it was estimated from."""

    value: float
    """100 times the squared discrepancy; unbiased, so slightly negative about as often as not for equal sources."""

    bandwidth: float
    """Median distance between rows of the reference set."""

    bandwidth_rows: int
    """How many rows of the reference set that median is of."""

    num_reference: int
    """Rows of the reference set."""

    num_generated: int
    """Rows of the generated set."""

    dimension: int
    """Of the embeddings."""


def kad(
    reference: NDArray[np.floating[Any]],
    generated: NDArray[np.floating[Any]],
    *,
    reference_keys: NDArray[np.uint64] | None = None,
    seed: int = 0,
    median_rows: int = MEDIAN_ROWS,
    block_rows: int = 1024,
) -> KernelDistance:
    """Kernel audio distance: 100 times the unbiased squared maximum mean discrepancy of a Gaussian kernel.

    Chung et al., https://doi.org/10.48550/arXiv.2502.15602; the estimator is that of Gretton et al.,
    https://jmlr.org/papers/v13/gretton12a.html, with k(x, y) = exp(-‖x - y‖² / 2σ²) and σ the median distance between
    rows of the reference set (of the two middle ones their mean), so that one reference judges every generator alike.
    The authors' kadtk takes that of 1,000 random pairs of the evaluated set instead: values do not compare with its.

        100 · (mean of k(x, x'), x ≠ x'  +  mean of k(y, y'), y ≠ y'  -  2 · mean of k(x, y))

    Embeddings are rounded to multiples of 2⁻²⁰ and kernel values to 2⁻⁵⁰, and all sums are of integers: the result is
    the same to the bit for any order of the rows, any `block_rows` and any number of threads, on processors of one kind
    (whose exponential function has the same last bits). Memory grows with n·d + block_rows² + median_rows².

    Args:
        reference: float32 or float64 [n, d] of real sounds, values between -16 and 16.
        generated: float32 or float64 [m, d] of those to be judged.
        reference_keys: [n], a hash of each reference row's name, no two alike; needed where n is above `median_rows`.
        seed: Of the choice of reference rows for the median.
        median_rows: Up to this many reference rows the median is over all n(n - 1)/2 distances; of more, over those
            between as many rows, the first in the order that the hash of key and seed gives.
        block_rows: Rows of either set that are compared at once.

    Raises:
        TypeError: A dtype is wrong.
        NoSpreadError: The median distance is 0.
        ValueError: Shapes do not belong together, a value is not finite or out of range, a set has fewer than two rows,
            or keys are missing.
    """
    if not 1 <= block_rows <= MAX_BLOCK_ROWS:
        raise ValueError(f"block_rows {block_rows} is outside 1 to {MAX_BLOCK_ROWS}")
    if median_rows < 2:
        raise ValueError(f"median_rows {median_rows} leaves no distance: set at least 2")
    real, made = ExactEmbeddings(reference), ExactEmbeddings(generated)
    if real.dimension != made.dimension:
        raise ValueError(
            f"the reference embeddings have {real.dimension} dimensions and the generated {made.dimension}: embed both "
            "with one model"
        )
    if min(len(real), len(made)) < 2:
        raise ValueError(f"{len(real)} reference and {len(made)} generated rows: at least 2 of each are needed")
    chosen = real
    if len(real) > median_rows:
        if reference_keys is None:
            raise ValueError(
                f"the reference has {len(real)} rows, more than median_rows {median_rows}: give reference_keys, by "
                "which some are chosen for the median, or raise median_rows"
            )
        chosen = ExactEmbeddings(reference[shuffled(reference_keys, seed, len(real))[:median_rows]])
    bandwidth = _median_distance(chosen, block_rows)
    if bandwidth == 0.0:
        raise NoSpreadError(
            f"the median distance between {len(chosen)} reference rows is 0, and no bandwidth: at least half of the "
            "pairs are equal; leave out repeated clips"
        )
    within_real = Fraction(_kernel_sum(real, real, bandwidth, block_rows), len(real) * (len(real) - 1))
    within_made = Fraction(_kernel_sum(made, made, bandwidth, block_rows), len(made) * (len(made) - 1))
    between = Fraction(_kernel_sum(real, made, bandwidth, block_rows), len(real) * len(made))
    return KernelDistance(
        value=float(_SCALE * (within_real + within_made - 2 * between) / _KERNEL_UNITS),
        bandwidth=bandwidth,
        bandwidth_rows=len(chosen),
        num_reference=len(real),
        num_generated=len(made),
        dimension=real.dimension,
    )


def _kernel_sum(first: ExactEmbeddings, second: ExactEmbeddings, bandwidth: float, block_rows: int) -> int:
    """Sum of the kernel over all pairs, in units of 2⁻⁵⁰; of a set with itself, over pairs of different rows."""
    rate = -0.5 / bandwidth**2 * 2.0 ** (-2 * FRACTION_BITS)
    total = 0
    for rows in first.blocks(block_rows):
        for columns in second.blocks(block_rows):
            if first is second and columns.start < rows.start:
                continue  # counted on the other side of the diagonal
            kernel = np.exp(first.squared_distances(rows, second, columns) * rate)
            units = np.rint(kernel * _KERNEL_UNITS).astype(np.int64)
            times = 2 if first is second and columns.start > rows.start else 1
            total += times * sum(units.sum(axis=1).tolist())
    return total - len(first) * _KERNEL_UNITS if first is second else total


def _median_distance(embeddings: ExactEmbeddings, block_rows: int) -> float:
    """Median of all n(n - 1)/2 distances, in units of the embedding."""
    num_pairs = len(embeddings) * (len(embeddings) - 1) // 2
    squares, filled = np.empty(num_pairs, np.int64), 0
    for rows in embeddings.blocks(block_rows):
        for columns in embeddings.blocks(block_rows):
            if columns.start < rows.start:
                continue
            block = embeddings.squared_distances(rows, embeddings, columns)
            pairs = block[np.triu_indices(len(block), 1)] if columns.start == rows.start else block.ravel()
            squares[filled : filled + len(pairs)] = pairs
            filled += len(pairs)
    middle = [(num_pairs - 1) // 2, num_pairs // 2]
    low, high = np.partition(squares, middle)[middle].tolist()
    return (math.sqrt(low) + math.sqrt(high)) / 2 * 2.0**-FRACTION_BITS
