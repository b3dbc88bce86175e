"""Counts, sums and second moments of embeddings, the same to the bit however the rows were ordered and spread."""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from workers.metrics.fixed_point import FRACTION_BITS, LIMB_BITS, fixed_point, limbs

MAX_ROWS: Final = 1 << 26
"""Most rows of one accumulation. No integer in it, nor in the covariance, then has more than the 53 bits of a float64:
a second moment of limbs about an integer near the mean is below 2²⁶·2²⁶."""

_PIECE: Final = 1 << 12
"""Rows that are multiplied at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbeddingMoments:
    """What is known of a set of embeddings, in exact integers; accumulations are added with `+`."""

    num_rows: int
    """n."""

    sums: NDArray[np.int64]
    """[2, d], of the high and the low limbs of `fixed_point`."""

    moments: NDArray[np.int64]
    """[3, d, d], sums over rows of high·high, high·low and low·low, column i times column j."""

    def __post_init__(self) -> None:
        if not 0 <= self.num_rows <= MAX_ROWS:
            raise ValueError(f"{self.num_rows} rows are outside 0 to {MAX_ROWS}, where the sums are exact")

    @classmethod
    def of(cls, embeddings: NDArray[np.floating[Any]]) -> Self:
        """Accumulates a set, or a part of one.

        Args:
            embeddings: float32 or float64 [n, d], values between -16 and 16; rounded to multiples of 2⁻²⁰.

        Raises:
            TypeError: The embeddings have another dtype.
            ValueError: The shape is not [n, d], a value is not finite or out of range, or n is above `MAX_ROWS`.
        """
        units = fixed_point(embeddings)
        num_rows, dimension = units.shape
        if num_rows > MAX_ROWS:
            raise ValueError(f"{num_rows} rows are outside 0 to {MAX_ROWS}, where the sums are exact")
        sums = np.zeros((2, dimension), np.int64)
        moments = np.zeros((3, dimension, dimension), np.int64)
        for begin in range(0, num_rows, _PIECE):
            high, low = limbs(units[begin : begin + _PIECE])
            sums += np.stack([high.sum(axis=0), low.sum(axis=0)]).astype(np.int64)
            for total, product in zip(moments, (high.T @ high, high.T @ low, low.T @ low), strict=True):
                total += product.astype(np.int64)
        return cls(num_rows=num_rows, sums=sums, moments=moments)

    def __add__(self, other: Self) -> Self:
        """Both sets together.

        Raises:
            ValueError: Their dimensions differ, or they have more than `MAX_ROWS` rows.
        """
        if self.dimension != other.dimension:
            raise ValueError(
                f"embeddings of {self.dimension} and of {other.dimension} dimensions do not belong to one set"
            )
        num_rows = self.num_rows + other.num_rows
        return type(self)(num_rows=num_rows, sums=self.sums + other.sums, moments=self.moments + other.moments)

    @property
    def dimension(self) -> int:
        """Of the embeddings, d."""
        return int(self.sums.shape[1])

    def mean(self) -> NDArray[np.float64]:
        """The mean [d] of the rounded embeddings, rounded once.

        Raises:
            ValueError: There is no row.
        """
        self._require(1, "mean")
        units = (self.sums[0] << LIMB_BITS) + self.sums[1]
        return np.asarray(units / self.num_rows * 2.0**-FRACTION_BITS)

    def covariance(self) -> NDArray[np.float64]:
        """The unbiased covariance [d, d] of the rounded embeddings, symmetric to the bit.

        Moments are taken about an integer near the mean before they become floats, so a mean that is large beside the
        deviations costs no digits: the error is below 10⁻¹⁹ beside the relative 10⁻¹⁵ of the last rounding.

        Raises:
            ValueError: There are fewer than two rows.
        """
        self._require(2, "covariance")
        high, mixed, low = self._scatter(0, 0, 0), self._scatter(1, 0, 1), self._scatter(2, 1, 1)
        units = high * 2.0 ** (2 * LIMB_BITS) + (mixed + mixed.T) * 2.0**LIMB_BITS + low
        return np.asarray(units * 2.0 ** (-2 * FRACTION_BITS) / (self.num_rows - 1))

    def _scatter(self, moment: int, first: int, second: int) -> NDArray[np.float64]:
        """Σ (x - mean x)(y - mean y), [d, d], of two limbs x and y."""
        about = np.rint(self.sums / self.num_rows).astype(np.int64)
        rest = self.sums - self.num_rows * about  # of each column's sum, at most n / 2
        shifted = (
            self.moments[moment]
            - np.multiply.outer(about[first], self.sums[second])
            - np.multiply.outer(self.sums[first], about[second])
            + self.num_rows * np.multiply.outer(about[first], about[second])
        )
        return np.asarray(shifted - np.multiply.outer(rest[first], rest[second]) / self.num_rows)

    def _require(self, rows: int, name: str) -> None:
        if self.num_rows < rows:
            raise ValueError(f"{self.num_rows} rows have no {name}: at least {rows} are needed")
