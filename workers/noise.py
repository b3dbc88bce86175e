"""Gaussian noise that belongs to a row, not to a process."""

import math

import numpy as np
from numpy.typing import NDArray


def unit_noise(seed: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Standard normal noise that is a function of the seed alone.

    Drawn on the CPU from a Philox generator keyed by the seed (https://doi.org/10.1145/2063384.2063405), so that it is
    the same on every device, in every batch, and whatever was drawn before.

    Args:
        seed: Taken modulo 2⁶⁴, so a uint64 that was carried as int64 draws the same noise.
        shape: Shape of the result.

    Returns:
        float32, mean 0, variance 1.
    """
    generator = np.random.Generator(np.random.Philox(key=int(seed) % 2**64))
    return generator.standard_normal(math.prod(shape), dtype=np.float32).reshape(shape)
