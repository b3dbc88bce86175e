"""Embeddings as integers, whose sums and products are exact in any order and on any number of threads.

A value v becomes the integer nearest to v·2²⁰, of 24 bits and a sign. Two limbs hold it:

    sign and 24 bits   |s hhhhhhhhhhhh llllllllllll|   v·2²⁰ = high·2¹² + low
                        |--- high ---| |-- low ---|    -2¹² <= high < 2¹², 0 <= low < 2¹²

The product of two limbs has 24 bits, so a float64 matrix product sums 2²⁹ of them without rounding: BLAS may take them
in whatever order it likes.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FRACTION_BITS: Final = 20
LIMB_BITS: Final = 12
LIMIT: Final = 2.0 ** (2 * LIMB_BITS - FRACTION_BITS)
"""Values are smaller than this: 16."""


def fixed_point(embeddings: NDArray[np.floating[Any]]) -> NDArray[np.int32]:
    """Rounds embeddings to the nearest multiples of 2⁻²⁰, halves to even.

    Args:
        embeddings: float32 or float64 [n, d].

    Returns:
        [n, d], in units of 2⁻²⁰, C-contiguous.

    Raises:
        TypeError: The embeddings have another dtype.
        ValueError: The shape is not [n, d] with d of at least 1, or a value is not finite or not between -16 and 16.
    """
    if embeddings.dtype not in (np.float32, np.float64):
        raise TypeError(f"the embeddings are {embeddings.dtype}: give float32 or float64")
    if embeddings.ndim != 2 or embeddings.shape[1] == 0:
        raise ValueError(
            f"the embeddings have the shape {list(embeddings.shape)}; expected [n, d] with d of at least 1"
        )
    largest = 2 ** (2 * LIMB_BITS) - 1
    with np.errstate(over="ignore", invalid="ignore"):
        # Scaling by a power of two is exact in float64, which float32's largest values do not leave either.
        units = np.rint(np.multiply(embeddings, 2.0**FRACTION_BITS, dtype=np.float64))
        inside = np.abs(units) <= largest  # False for NaN
    if not inside.all():
        row, column = np.argwhere(~inside)[0].tolist()
        value = embeddings[row, column]
        if not np.isfinite(value):
            raise ValueError(f"embedding {row} has {value} in column {column}: leave out rows that are not finite")
        raise ValueError(
            f"embedding {row} has {value:g} in column {column}, outside the exact range of ±{LIMIT:g}: divide the "
            "embeddings of both sets by one constant (a Fréchet distance shrinks by its square)"
        )
    return np.ascontiguousarray(units.astype(np.int32))


def limbs(units: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The high and the low limb of fixed-point integers, each of the same shape."""
    high = units >> LIMB_BITS
    low = units & ((1 << LIMB_BITS) - 1)
    return high.astype(np.float64), low.astype(np.float64)
