"""Draws latents from stored posteriors, differently in every epoch and equally on every machine."""

import hashlib
import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOMENTS = ("latent_mean", "latent_logvar")

_BLOCK_VALUES = 1 << 15  # float32 working arrays of 128 KiB stay in the processor's cache


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
    seeds: Iterable[int],
    means: NDArray[Any] | Sequence[NDArray[Any]],
    logvars: NDArray[Any] | Sequence[NDArray[Any]],
    *,
    seed: int,
    epoch: int,
) -> NDArray[np.float32] | list[NDArray[np.float32]]:
    """Mean + exp(logvar / 2) · noise for each unit, with the `workers.noise.unit_noise` of its `draw_seed`.

    Args:
        seeds: The units' own seeds, n.
        means: Posterior means, `[n, *shape]`, or n arrays where shapes vary.
        logvars: Natural logarithms of the posterior variances, alike.
        seed: Of the training run.
        epoch: Non-negative.

    Returns:
        float32 in the shapes of the means; a list where those are one.
    """
    keys = [draw_seed(int(row_seed), seed=seed, epoch=epoch) for row_seed in seeds]
    if isinstance(means, np.ndarray) and isinstance(logvars, np.ndarray):
        return _drawn(keys, means, logvars)
    rows = zip(keys, means, logvars, strict=True)
    return [_drawn([key], mean[None], logvar[None])[0] for key, mean, logvar in rows]


def unit_noises(seeds: Sequence[int], size: int) -> NDArray[np.float32]:
    """The first `size` values of each seed's `workers.noise.unit_noise`, `[seeds, size]`.

    One generator takes all the keys in turn: to make one takes as long as to draw 2,000 values.
    """
    noise = np.empty((len(seeds), size), np.float32)
    philox = np.random.Philox(key=0)
    generator, unused = np.random.Generator(philox), philox.state
    for row, seed in zip(noise, seeds, strict=True):
        unused["state"]["key"][0] = seed
        philox.state = unused
        generator.standard_normal(dtype=np.float32, out=row)
    return noise


def _drawn(keys: Sequence[int], means: NDArray[Any], logvars: NDArray[Any]) -> NDArray[np.float32]:
    """Latents `[n, *shape]`, some rows at a time."""
    drawn = unit_noises(keys, math.prod(means.shape[1:])).reshape(means.shape)
    step = max(1, _BLOCK_VALUES * len(drawn) // max(1, drawn.size))
    for row in range(0, len(drawn), step):
        rows = slice(row, row + step)
        deviations = logvars[rows].astype(np.float32)
        deviations *= 0.5
        drawn[rows] *= np.exp(deviations, out=deviations)
        drawn[rows] += means[rows].astype(np.float32, copy=False)
    return drawn
