"""Squared distances between embeddings in fixed point: exact integers, whatever BLAS and its threads do."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.fixed_point import LIMB_BITS, fixed_point, limbs

MAX_DIMENSION: Final = 1 << 12
"""Squared distances are below d·2⁵⁰, so they fit int64."""

MAX_BLOCK_ROWS: Final = 1 << 12


class ExactEmbeddings:
    """Embeddings [n, d] rounded to multiples of 2⁻²⁰, that give squared distances.

    Args:
        embeddings: float32 or float64 [n, d], values between -16 and 16, d at most `MAX_DIMENSION`.

    Raises:
        TypeError: The embeddings have another dtype.
        ValueError: The shape is wrong, or a value is not finite or out of range.
    """

    def __init__(self, embeddings: NDArray[np.floating[Any]]) -> None:
        self._units = fixed_point(embeddings)
        if self.dimension > MAX_DIMENSION:
            raise ValueError(f"embeddings of {self.dimension} dimensions: distances are exact up to {MAX_DIMENSION}")
        self._norms = np.array([np.square(row, dtype=np.int64).sum() for row in self._units], np.int64)

    def __len__(self) -> int:
        return len(self._units)

    @property
    def dimension(self) -> int:
        """Of the embeddings, d."""
        return int(self._units.shape[1])

    def blocks(self, block_rows: int) -> Iterator[slice]:
        """Where blocks of rows begin and end."""
        return (slice(begin, min(begin + block_rows, len(self))) for begin in range(0, len(self), block_rows))

    def squared_distances(self, rows: slice, other: "ExactEmbeddings", columns: slice) -> NDArray[np.int64]:
        """Squared distances of rows to rows of `other`, [rows, columns], in units of 2⁻⁴⁰: ‖x‖² + ‖y‖² - 2⟨x, y⟩.

        A number of 24 bits times one of 12, summed over d, stays far below the 53 bits of a float64.
        """
        high, low = limbs(other._units[columns])
        units = self._units[rows].astype(np.float64)
        products = (units @ high.T).astype(np.int64)
        products <<= LIMB_BITS
        products += (units @ low.T).astype(np.int64)
        products *= -2
        products += self._norms[rows, None]
        products += other._norms[columns]
        return products
