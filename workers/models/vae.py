"""What a worker needs of a VAE."""

from typing import Protocol

from torch import Tensor


class VAE(Protocol):
    """An encoder and decoder of mels."""

    def encode_with_distribution(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mels [B, n_mels, frames] to mean and log-variance, float32 [B, ...] each, not scaled."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Latents [B, ...], not scaled, to mels, float32 [B, n_mels, frames]."""
        ...
