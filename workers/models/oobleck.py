"""`AutoencoderOobleck` of diffusers, as an encoder and decoder of waveforms."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.models.diffusers_model import load_diffusers_model
from workers.models.oobleck_spec import STABLE_AUDIO_CONFIG, OobleckSpec


class Oobleck:
    """Encodes waveforms [B, C, T] as Gaussians over latents [B, L, T / hop], and decodes latents.

    Weights are computed in float32 until `to` says otherwise, whatever type they were saved in.

    Args:
        spec: Which model.

    Raises:
        ValueError: The files are missing, of another class, pickled without leave, or do not fit their config.
    """

    def __init__(self, spec: OobleckSpec) -> None:
        self.spec = spec
        self.model = load_diffusers_model(spec.checkpoint(), STABLE_AUDIO_CONFIG, spec.seed)
        for module in self.model.modules():
            if hasattr(module, "weight_g"):
                nn.utils.remove_weight_norm(module)  # the kernels once, and not in every call
        self._hop, self._channels = spec.hop_length, spec.audio_channels

    def to(self, device: torch.device, dtype: torch.dtype) -> "Oobleck":
        """Move the weights."""
        nn.Module.to(self.model, device=device, dtype=dtype)
        return self

    def encode_with_distribution(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Encode to the posterior.

        Args:
            waveform: [B, C, T] in any floating type, T a multiple of the hop; computed in the type of the weights.

        Returns:
            Mean and log-variance, float32 [B, latent_channels, T / hop] each, not scaled.

        Raises:
            ValueError: The waveform has another shape.
        """
        if waveform.ndim != 3 or waveform.shape[1] != self._channels:
            raise ValueError(f"expected a waveform [B, {self._channels}, T], got shape {list(waveform.shape)}")
        self.spec.latent_shape(waveform.shape[2])
        mean, scale = self.model.encoder(waveform.to(self.model.dtype)).float().chunk(2, dim=1)
        return mean, 2.0 * (functional.softplus(scale) + 1e-4).log()

    def decode(self, latent: Tensor) -> Tensor:
        """Decode latents [B, latent_channels, S], not scaled, to waveforms, float32 [B, C, S * hop]."""
        sound: Tensor = self.model.decoder(latent.to(self.model.dtype)).float()
        return functional.pad(sound, (0, latent.shape[2] * self._hop - sound.shape[2]))  # odd ratios lose a sample
