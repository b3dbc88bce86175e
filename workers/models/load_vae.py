"""The one place that knows which kinds of VAEs there are."""

import torch

from workers.models.audio_vae_spec import AudioVaeSpec
from workers.models.cpu_vae import CpuVae
from workers.models.oobleck_spec import OobleckSpec
from workers.models.precision import Precision
from workers.models.vae import VAE
from workers.models.vae_spec import VaeSpec

_AUDIO_VAE_ROWS = 4
"""An AudioVAE's rows are so small that one alone takes twice the time."""


def load_vae(spec: VaeSpec, *, device: torch.device, precision: Precision) -> VAE:
    """Load a VAE for inference; on a CPU its results depend neither on the number of threads nor on neighbours.

    Raises:
        ValueError: Its files are missing, refused, or do not fit their config; the message says what to do.
    """
    dtype: torch.dtype = getattr(torch, precision)
    if isinstance(spec, AudioVaeSpec):
        from workers.models.audio_vae import AudioVAE

        audio_vae = AudioVAE.from_spec(spec).eval().requires_grad_(False).to(device=device, dtype=dtype)
        return CpuVae(audio_vae, rows_at_once=_AUDIO_VAE_ROWS) if device.type == "cpu" else audio_vae
    if isinstance(spec, OobleckSpec):
        from workers.models.oobleck import Oobleck

        oobleck = Oobleck(spec).to(device, dtype)
        return CpuVae(oobleck, rows_at_once=1) if device.type == "cpu" else oobleck
    from workers.models.diffusers_vae import DiffusersVAE

    diffusers_vae = DiffusersVAE(spec).to(device, dtype)
    if device.type == "cpu":
        from workers.models.cpu_layers import use_cpu_layers
        from workers.models.diffusers_blocks import use_cpu_blocks

        use_cpu_blocks(diffusers_vae.model)
        use_cpu_layers(diffusers_vae.model)
        return CpuVae(diffusers_vae, rows_at_once=1)
    return diffusers_vae
