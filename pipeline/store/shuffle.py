"""Which units a rank reads in an epoch, and in what order."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Uneven = Literal["drop", "pad"]
"""What to do where the ranks do not divide the units: `drop` leaves up to ranks-1 units of the epoch's order unread,
`pad` reads up to ranks-1 units of its beginning twice. Either way every rank reads equally many."""


def epoch_order(num_units: int, *, shuffle: bool, seed: int, epoch: int) -> NDArray[np.int64]:
    """Positions of all units in the order of an epoch, `[num_units]`: shuffled by `seed` and `epoch`, or 0, 1, …"""
    if not shuffle:
        return np.arange(num_units, dtype=np.int64)
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, epoch]))
    return generator.permutation(num_units)


def rank_order(order: NDArray[np.int64], *, rank: int, world_size: int, uneven: Uneven) -> NDArray[np.int64]:
    """One rank's share of an epoch: every `world_size`-th unit, from the `rank`-th on.

    Args:
        order: The epoch's order, equal on all ranks.
        rank: From 0 to `world_size` - 1.
        world_size: Number of ranks.
        uneven: See `Uneven`.
    """
    remainder = len(order) % world_size
    if remainder and uneven == "drop":
        order = order[: len(order) - remainder]
    elif remainder:
        order = np.resize(order, len(order) + world_size - remainder)  # repeats from the beginning
    return order[rank::world_size]
