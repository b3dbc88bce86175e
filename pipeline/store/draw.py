"""Draws latents from stored posteriors, differently in every epoch and equally on every machine."""

import hashlib
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.noise import unit_noise

MOMENTS = ("latent_mean", "latent_logvar")


def draw_seed(row_seed: int, *, seed: int, epoch: int) -> int:
    """Seed of one unit's draw, uint64.

    Args:
        row_seed: The unit's own seed, from the store.
        seed: Of the training run.
        epoch: Non-negative.
    """
    key = struct.pack("<QQQ", seed % 2**64, row_seed % 2**64, epoch)
    return int.from_bytes(hashlib.blake2b(key, digest_size=8, person=b"latent draw").digest(), "little")


def draw_latents(
    seeds: Iterable[int], means: Iterable[NDArray[Any]], logvars: Iterable[NDArray[Any]], *, seed: int, epoch: int
) -> list[NDArray[np.float32]]:
    """Mean + exp(logvar / 2) · noise for each unit, float32, in the shape of its mean.

    Args:
        seeds: The units' own seeds.
        means: Posterior means.
        logvars: Natural logarithms of the posterior variances, in the shapes of the means.
        seed: Of the training run.
        epoch: Non-negative.
    """
    drawn = []
    for row_seed, mean, logvar in zip(seeds, means, logvars, strict=True):
        noise = unit_noise(draw_seed(int(row_seed), seed=seed, epoch=epoch), mean.shape)
        drawn.append(mean.astype(np.float32) + np.exp(0.5 * logvar.astype(np.float32)) * noise)
    return drawn
