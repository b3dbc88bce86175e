"""Random choices that belong to a row: they follow from its key, not from where it stands."""

import numpy as np
from numpy.typing import NDArray

_GOLDEN = 0x9E3779B97F4A7C15


def row_hash(keys: NDArray[np.uint64], counter: int | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mixes keys and a counter by SplitMix64 (https://doi.org/10.1145/2660193.2660195).

    Args:
        keys: [n].
        counter: Another one gives other numbers; taken modulo 2⁶⁴. Several are broadcast against the keys.

    Returns:
        [n], spread evenly over uint64; no two are alike where no two keys are.
    """
    counters = np.uint64(counter % 2**64) if isinstance(counter, int) else counter
    with np.errstate(over="ignore"):
        mixed: NDArray[np.uint64] = keys + (counters + np.uint64(1)) * np.uint64(_GOLDEN)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def shuffled(keys: NDArray[np.uint64], seed: int, num_rows: int) -> NDArray[np.intp]:
    """Puts rows into a random order that any arrangement of the same rows shares.

    Args:
        keys: uint64 [num_rows], no two alike.
        seed: Of the order; taken modulo 2⁶⁴.
        num_rows: Of the table that the keys belong to.

    Returns:
        [num_rows], positions of the rows in the new order.

    Raises:
        TypeError: The keys are not uint64.
        ValueError: There is not one key for each row, or two rows have the same.
    """
    if keys.dtype != np.uint64:
        raise TypeError(f"the keys are {keys.dtype}: give a uint64 hash of each row's name")
    if keys.shape != (num_rows,):
        raise ValueError(f"expected a key for each of {num_rows} rows, got keys of shape {list(keys.shape)}")
    # Hashed twice: a row's weight in a bootstrap goes by the first hash, and must not follow from its place.
    order = np.argsort(row_hash(row_hash(keys, seed), 0))
    ranked = keys[order]
    if repeated := np.flatnonzero(ranked[1:] == ranked[:-1]).tolist():
        raise ValueError(
            f"key {ranked[repeated[0]]} belongs to two rows, whose order would be arbitrary: give each row its own"
        )
    return order
