"""What a worker needs of a VAE, and the one place that knows which kinds there are."""

from typing import Protocol

import torch
from torch import Tensor

from workers.models.audio_vae_spec import AudioVaeSpec
from workers.models.precision import Precision
from workers.models.repeatable import make_repeatable
from workers.models.vae_spec import VaeSpec

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class VAE(Protocol):
    """An encoder and decoder of mels."""

    def encode_with_distribution(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mels [B, n_mels, frames] to mean and log-variance, float32 [B, ...] each, not scaled."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Latents [B, ...], not scaled, to mels, float32 [B, n_mels, frames]."""
        ...


def load_vae(spec: VaeSpec, *, device: torch.device, precision: Precision) -> VAE:
    """Load a VAE for inference; on a CPU its results do not depend on the number of threads.

    Raises:
        ValueError: Its files are missing, refused, or do not fit their config; the message says what to do.
    """
    dtype = _DTYPES[precision]
    if isinstance(spec, AudioVaeSpec):
        from workers.models.audio_vae import AudioVAE

        audio_vae = AudioVAE.from_spec(spec).eval().requires_grad_(False).to(device=device, dtype=dtype)
        if device.type == "cpu":
            make_repeatable(audio_vae)
        return audio_vae
    from workers.models.diffusers_vae import DiffusersVAE

    diffusers_vae = DiffusersVAE(spec).to(device, dtype)
    if device.type == "cpu":
        make_repeatable(diffusers_vae.model)
    return diffusers_vae
