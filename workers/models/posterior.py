"""Draws from a VAE's posterior that belong to a row, not to a process."""

import numpy as np
import torch
from torch import Tensor

from workers.noise import unit_noise
from workers.transfer import to_device


def posterior_sample(mean: Tensor, logvar: Tensor, seeds: Tensor) -> Tensor:
    """Draw one latent for each row.

    Args:
        mean: float32 [B * C, ...], the rows of one unit side by side.
        logvar: Log-variance in the same shape.
        seeds: int64 [B] on the CPU, one per unit.

    Returns:
        float32 in the shape of `mean`; a row's noise is a function of its seed alone.
    """
    size = mean.numel() // len(seeds)
    noise = np.stack([unit_noise(seed, (size,)) for seed in seeds.tolist()])
    return mean + (0.5 * logvar).exp() * to_device(torch.from_numpy(noise), mean.device).view(mean.shape)
