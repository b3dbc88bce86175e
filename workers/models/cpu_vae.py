"""VAEs on a CPU: the same bits for any number of threads and any neighbours."""

import torch
from torch import Tensor

from workers.models.pieces import Pieces
from workers.models.vae import VAE


class CpuVae:
    """Computes rows in pieces, each by one thread.

    Args:
        vae: Computes a piece.
        rows_at_once: Rows in a piece.
    """

    def __init__(self, vae: VAE, *, rows_at_once: int) -> None:
        self._vae = vae
        self._pieces = Pieces(rows_at_once)

    def encode_with_distribution(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Mels or waveforms [B, ...] to mean and log-variance, float32 [B, ...] each, not scaled."""
        moments = self._pieces.map(lambda rows: torch.stack(self._vae.encode_with_distribution(rows), 1), signal)
        return moments[:, 0], moments[:, 1]

    def decode(self, latent: Tensor) -> Tensor:
        """Latents [B, ...], not scaled, to mels or waveforms, float32 [B, ...]."""
        return self._pieces.map(self._vae.decode, latent)
