"""A small variational autoencoder for mel spectrograms: one-dimensional convolutions along time.

    mel [B, 64, 256] -> level 0, width 64  [B,  64, 256] -> halve time
                        level 1, width 128 [B, 128, 128] -> halve time
                        level 2, width 256 [B, 256,  64] -> mean, logvar [B, 8, 64]

The decoder is the mirror image. Shapes: B batch, M mel channels, F mel frames, L latent channels,
S latent steps = F / time_downsample_factor.
"""

import copy
import json
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from workers.models.audio_vae_layers import Decoder, Encoder
from workers.models.audio_vae_mel import audio_vae_mel_spec, mel_of_waveform, waveform_of_mel
from workers.models.audio_vae_spec import AudioVaeConfig, AudioVaeSpec, parse_config
from workers.models.checkpoint import existing_folder
from workers.models.seeded_init import initialise

# The log-variance is kept where exp() is a float32; the bounds are those of diffusers' DiagonalGaussianDistribution.
_LOGVAR_RANGE = (-30.0, 20.0)
# Log-mels of sounds lie around this; inside the model they have about zero mean and unit variance.
_MEL_MEAN = -5.0
_MEL_STD = 3.0


class AudioVAE(nn.Module):
    """Encodes log-mels [B, M, F] as Gaussians over latents [B, L, S], and decodes latents.

    Args:
        config: The architecture and the seed of the initial weights.
    """

    def __init__(self, config: AudioVaeConfig | None = None) -> None:
        super().__init__()
        self.config = config or AudioVaeConfig()
        # Built without memory first: modules would draw their initial weights from torch's global generator.
        with torch.device("meta"):
            self.encoder = Encoder(self.config)
            self.decoder = Decoder(self.config)
        self.to_empty(device="cpu")
        initialise(self, self.config.seed)

    @property
    def mel_channels(self) -> int:
        """Mel bands M."""
        return self.config.mel_channels

    @property
    def latent_channels(self) -> int:
        """Latent channels L."""
        return self.config.latent_channels

    @property
    def latent_scale_factor(self) -> float:
        """What a latent is multiplied by to have about unit variance; `encode` does not apply it."""
        return self.config.latent_scale_factor

    @property
    def time_downsample_factor(self) -> int:
        """Mel frames per latent step."""
        return self.config.time_downsample_factor

    @property
    def parameter_count(self) -> int:
        """Number of trainable values: the length of `get_parameters()`."""
        return sum(parameter.numel() for parameter in self.parameters())

    def encode(self, mel: Tensor, *, sample: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """Encode to one latent per mel.

        Args:
            mel: [B, M, F], log-mel as `audio_to_mel_spectrogram` gives it; F a multiple of `time_downsample_factor`.
            sample: Draw from the posterior instead of taking its mean.
            generator: Where the draw comes from; torch's global generator where None.

        Returns:
            float32 [B, L, S], not scaled.

        Raises:
            ValueError: The mel has another shape.
        """
        mean, logvar = self.encode_with_distribution(mel)
        return draw(mean, logvar, generator) if sample else mean

    def encode_with_distribution(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Encode to the posterior.

        Args:
            mel: [B, M, F], in any floating type; computed in the type of the weights.

        Returns:
            Mean and log-variance, float32 [B, L, S] each; log-variance in [-30, 20].

        Raises:
            ValueError: The mel has another shape.
        """
        if mel.ndim != 3:
            raise ValueError(f"expected a mel [B, {self.mel_channels}, F], got shape {list(mel.shape)}")
        self.config.check_mel_shape(mel.shape[1], mel.shape[2])
        normal = (mel.float() - _MEL_MEAN) / _MEL_STD
        moments: Tensor = self.encoder(normal.to(self._dtype)).float()
        mean, logvar = moments.chunk(2, dim=1)
        return mean, logvar.clamp(*_LOGVAR_RANGE)

    def decode(self, latent: Tensor) -> Tensor:
        """Decode latents.

        Args:
            latent: [B, L, S], not scaled.

        Returns:
            Log-mel, float32 [B, M, S * time_downsample_factor].

        Raises:
            ValueError: The latent has another shape.
        """
        if latent.ndim != 3 or latent.shape[1] != self.latent_channels:
            raise ValueError(f"expected a latent [B, {self.latent_channels}, S], got shape {list(latent.shape)}")
        normal: Tensor = self.decoder(latent.to(self._dtype)).float()
        return normal * _MEL_STD + _MEL_MEAN

    def forward(self, mel: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What a training step needs: the mel decoded from a drawn latent [B, M, F], and the posterior's moments."""
        mean, logvar = self.encode_with_distribution(mel)
        return self.decode(draw(mean, logvar, generator)), mean, logvar

    @staticmethod
    def reconstruction_loss(reconstruction: Tensor, mel: Tensor) -> Tensor:
        """Mean squared difference of log-mels, a scalar.

        Raises:
            ValueError: The shapes differ.
        """
        if reconstruction.shape != mel.shape:
            raise ValueError(f"expected a reconstruction of shape {list(mel.shape)}, got {list(reconstruction.shape)}")
        return functional.mse_loss(reconstruction, mel)

    @staticmethod
    def kl_loss(mean: Tensor, logvar: Tensor) -> Tensor:
        """Divergence of the posterior from the standard normal, in nats per latent value, a scalar.

        Kingma and Welling, https://arxiv.org/abs/1312.6114, appendix B.
        """
        return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()

    def get_parameters(self) -> Tensor:
        """A copy of all parameters as one float32 vector [parameter_count], in the order of `parameters()`."""
        return nn.utils.parameters_to_vector(self.parameters()).detach().float().clone()

    def set_parameters(self, vector: Tensor) -> None:
        """Replace all parameters by the values of a vector, as `get_parameters` gives it.

        Args:
            vector: [parameter_count]; copied.

        Raises:
            ValueError: It has another length.
        """
        if vector.shape != (self.parameter_count,):
            raise ValueError(
                f"this model has {self.parameter_count} parameters, got a vector of length {vector.numel()} "
                f"and shape {list(vector.shape)}"
            )
        with torch.no_grad():
            for parameter, values in zip(
                self.parameters(),
                torch.split(vector, [parameter.numel() for parameter in self.parameters()]),
                strict=True,
            ):
                parameter.copy_(values.view_as(parameter))

    def clone(self) -> Self:
        """An independent copy with equal weights, on the same device."""
        return copy.deepcopy(self)

    def audio_to_mel_spectrogram(
        self, waveform: Tensor, sample_rate: int = 16_000, hop_length: int = 512, fft_size: int = 2048
    ) -> Tensor:
        """Compute the log-mels that this model takes: the preset `audiovae` with the given framing.

        Args:
            waveform: [..., T] in about [-1, 1].
            sample_rate: Rate of the waveform, Hz; bands reach to 8 kHz or half the rate, whichever is lower.
            hop_length: Distance between frames, samples.
            fft_size: Length of transform and window, samples.

        Returns:
            float32 [..., M, T // hop_length].

        Raises:
            ValueError: The waveform is too short for a frame, or the settings contradict each other.
        """
        return mel_of_waveform(waveform, audio_vae_mel_spec(self.mel_channels, sample_rate, hop_length, fft_size))

    def mel_spectrogram_to_audio(
        self,
        mel: Tensor,
        sample_rate: int = 16_000,
        hop_length: int = 512,
        fft_size: int = 2048,
        *,
        num_iterations: int = 16,
    ) -> Tensor:
        """Find waveforms with the given log-mels: non-negative least squares, then Griffin-Lim.

        Args:
            mel: [..., M, F], as `audio_to_mel_spectrogram` or `decode` gives it.
            sample_rate: Rate of the waveform, Hz.
            hop_length: Distance between frames, samples.
            fft_size: Length of transform and window, samples.
            num_iterations: Rounds of Griffin-Lim from integrated phases; more sound better, and 16 sound well.

        Returns:
            float32 [..., F * hop_length]; the same for a mel alone and in a batch.

        Raises:
            ValueError: The mel has other bands, or the settings contradict each other.
        """
        spec = audio_vae_mel_spec(self.mel_channels, sample_rate, hop_length, fft_size)
        return waveform_of_mel(mel, spec, num_iterations)

    def save(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors`, in the type that the weights have now."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(self.config.model_dump(), indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote; the parameters are float32 whatever type they were saved in.

        Args:
            folder: Nothing but a folder, even where it is called `random`; `from_spec` builds what a spec names.

        Raises:
            ValueError: There is no such folder, or it does not hold an AudioVAE.
        """
        return cls.from_spec(AudioVaeSpec(weights=existing_folder(str(folder))))

    @classmethod
    def from_spec(cls, spec: AudioVaeSpec) -> Self:
        """Build the model of a spec: random, embedded, or from a folder.

        Raises:
            ValueError: Its files are missing or do not fit its config.
        """
        checkpoint = spec.checkpoint()
        if checkpoint is None:
            return cls(spec.config())
        model = cls(parse_config(checkpoint.config, checkpoint.folder))
        try:
            # copies into float32 parameters
            model.load_state_dict({name: value for path in checkpoint.files for name, value in load_file(path).items()})
        except (RuntimeError, SafetensorError) as error:
            raise ValueError(f"the weights in {checkpoint.folder} do not fit its config.json: {error}") from error
        return model

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


def draw(mean: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw from a diagonal Gaussian; gradients flow to both moments.

    Args:
        mean: [...].
        logvar: [...].
        generator: May live on another device than the moments, which makes the draw independent of theirs.
    """
    device = mean.device if generator is None else generator.device
    noise = torch.randn(mean.shape, generator=generator, device=device, dtype=mean.dtype).to(mean.device)
    return mean + (0.5 * logvar).exp() * noise
