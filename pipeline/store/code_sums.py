"""Sums over float16 values from how often each of their 65,536 codes occurs.

Counting takes half as long as adding up each value, its square and its exponential, and is exact to any size.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

_NUM_CODES = 1 << 16
_BLOCK_VALUES = 1 << 18  # a block's codes, widened for counting, stay in the processor's cache
_UNIT = 2.0**24
_EXACT = 2.0**53


def code_counts(values: NDArray[np.float16]) -> NDArray[np.int64]:
    """How often each code occurs in `values`, `[rows, ...]`; shape `[65536]`."""
    counts = np.zeros(_NUM_CODES, np.int64)
    step = max(1, _BLOCK_VALUES * len(values) // max(1, values.size))
    for row in range(0, len(values), step):
        codes = values[row : row + step].view(np.uint16).reshape(-1)
        counts += np.bincount(codes, minlength=_NUM_CODES)
    return counts


def counted_sums(counts: NDArray[np.int64], *, exponentials: bool) -> list[int]:
    """Number of finite values, and in units of 2⁻²⁴ the sums of them, of their squares and, if asked, exponentials.

    Each square and each exponential is rounded on its own; an exponential that is infinite counts nothing.
    """
    codes = np.flatnonzero(counts)
    times = counts[codes].astype(np.float64)
    return [_weighted(times, terms[codes]) for terms in _terms()[: 4 if exponentials else 3]]


@cache
def _terms() -> tuple[NDArray[np.float64], ...]:
    """By code: one if finite, and the value, its square and its exponential, as whole numbers; each `[65536]`."""
    values = np.arange(_NUM_CODES, dtype=np.uint16).view(np.float16).astype(np.float64)
    finite = np.isfinite(values)
    values[~finite] = 0
    with np.errstate(over="ignore"):
        exponentials = np.exp(values) * _UNIT
    exponentials[~np.isfinite(exponentials)] = 0
    whole = (np.rint(terms) * finite for terms in (values * _UNIT, values * values * _UNIT, exponentials))
    return finite.astype(np.float64), *whole


def _weighted(times: NDArray[np.float64], terms: NDArray[np.float64]) -> int:
    """The sum of `times · terms`, whole numbers both."""
    with np.errstate(over="ignore"):
        products = times * terms
        bound = float(np.abs(products).sum())
    if bound < _EXACT / 2:  # so every product and every partial sum is exact
        return int(products.sum())
    return sum(int(n) * int(term) for n, term in zip(times.tolist(), terms.tolist(), strict=True))
