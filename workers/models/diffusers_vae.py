"""VAEs in the diffusers format, as encoders and decoders of mels."""

import torch
from torch import Tensor, nn

from workers.models.diffusers_model import load_diffusers_model
from workers.models.diffusers_vae_spec import AUDIOLDM2_CONFIG, DiffusersVaeSpec, check_picture


class DiffusersVAE:
    """An `AutoencoderKL` that takes mels [B, n_mels, frames].

    Weights are computed in float32 until `to` says otherwise, whatever type they were saved in.

    Args:
        spec: Which model, and how it sees a mel.

    Raises:
        ValueError: The files are missing, of another class, pickled without leave, or do not fit their config.
    """

    def __init__(self, spec: DiffusersVaeSpec) -> None:
        self.spec = spec
        checkpoint = spec.checkpoint()
        self._config = AUDIOLDM2_CONFIG if checkpoint is None else checkpoint.config
        self.model = load_diffusers_model(checkpoint, AUDIOLDM2_CONFIG, spec.seed)
        self._layout = torch.contiguous_format

    @property
    def scaling_factor(self) -> float:
        """What a latent is multiplied by to have about unit variance; `encode_with_distribution` does not apply it."""
        return float(self.model.config.scaling_factor)

    def to(self, device: torch.device, dtype: torch.dtype) -> "DiffusersVAE":
        """Move the weights, into the memory layout that computes fastest there."""
        # Measured on AudioLDM2's shape: on a CPU channels-last wins in float32, and nothing wins in bfloat16.
        channels_last = device.type != "cpu" or dtype == torch.float32
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        # The module's own `to`: diffusers' warns of layers to keep in float32 even where there are none.
        nn.Module.to(self.model, device=device, dtype=dtype, memory_format=self._layout)  # type: ignore[call-overload]
        return self

    def encode_with_distribution(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Encode to the posterior.

        Args:
            mel: [B, n_mels, frames], in any floating type; computed in the type of the weights.

        Returns:
            Mean and log-variance, float32 [B, latent_channels, height, width] each, not scaled; for the layout
            `time_first` height is frames / factor and width n_mels / factor.

        Raises:
            ValueError: The mel has another shape.
        """
        if mel.ndim != 3:
            raise ValueError(f"expected a mel [B, n_mels, frames], got shape {list(mel.shape)}")
        check_picture(self._config, mel.shape[1], mel.shape[2])
        picture = (mel.transpose(1, 2) if self.spec.mel_layout == "time_first" else mel).unsqueeze(1)
        picture = picture.to(dtype=self.model.dtype, memory_format=self._layout)
        posterior = self.model.encode(picture, return_dict=False)[0]
        return posterior.mean.float(), posterior.logvar.float()

    def decode(self, latent: Tensor) -> Tensor:
        """Decode latents [B, latent_channels, height, width], not scaled, to mels, float32 [B, n_mels, frames]."""
        latent = latent.to(dtype=self.model.dtype, memory_format=self._layout)
        picture: Tensor = self.model.decode(latent, return_dict=False)[0].float().squeeze(1)
        return picture.transpose(1, 2) if self.spec.mel_layout == "time_first" else picture
