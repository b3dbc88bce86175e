"""What a worker needs of a VAE."""

from typing import Protocol

from torch import Tensor


class VAE(Protocol):
    """An encoder and decoder of signals: mels [B, n_mels, frames], or waveforms [B, C, T]; the spec says which."""

    def encode_with_distribution(self, signal: Tensor, /) -> tuple[Tensor, Tensor]:
        """Signals to mean and log-variance, float32 [B, ...] each, not scaled."""
        ...

    def decode(self, latent: Tensor, /) -> Tensor:
        """Latents [B, ...], not scaled, to signals, float32."""
        ...
