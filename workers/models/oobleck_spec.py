"""Settings of `AutoencoderOobleck`, Stable Audio's VAE of waveforms."""

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar, Literal

from workers.models.published_spec import PublishedSpec
from workers.spec import PathText

# Stable Audio Open's VAE (https://huggingface.co/stabilityai/stable-audio-open-1.0, vae/config.json).
STABLE_AUDIO_CONFIG: dict[str, Any] = {
    "_class_name": "AutoencoderOobleck",
    "encoder_hidden_size": 128,
    "downsampling_ratios": [2, 4, 4, 8, 8],
    "channel_multiples": [1, 2, 4, 8, 16],
    "decoder_channels": 128,
    "decoder_input_channels": 64,
    "audio_channels": 2,
    "sampling_rate": 44_100,
}


class OobleckSpec(PublishedSpec):
    """A published `AutoencoderOobleck`: all channels of a waveform go into one latent, without a mel."""

    subfolder: ClassVar[str] = "vae"
    stem: ClassVar[str] = "diffusion_pytorch_model"
    random_config: ClassVar[Mapping[str, Any]] = STABLE_AUDIO_CONFIG

    kind: Literal["autoencoder_oobleck"] = "autoencoder_oobleck"
    """Selects this model."""

    weights: PathText = "stabilityai/stable-audio-open-1.0"
    """A folder (here or at a URI) or hub id of a VAE or of a pipeline with a `vae` folder; or `random`, Stable Audio
    Open's shape from `seed`."""

    @classmethod
    def check_class(cls, config: Mapping[str, Any], weights: str) -> None:
        """As `PublishedSpec` says."""
        if (name := config.get("_class_name")) != "AutoencoderOobleck":
            raise ValueError(f"{weights} holds a {name}, expected an AutoencoderOobleck")
        full = STABLE_AUDIO_CONFIG | dict(config)
        hidden, latent = full["encoder_hidden_size"], full["decoder_input_channels"]
        if hidden != 2 * latent:
            raise ValueError(
                f"{weights}: encoder_hidden_size is {hidden} and decoder_input_channels {latent}; the first holds mean"
                " and deviation of the second, so it has to be twice as many"
            )
        if min(full["downsampling_ratios"], default=0) < 2:
            raise ValueError(
                f"{weights}: downsampling_ratios are {full['downsampling_ratios']}; each has to be above 1"
            )

    @property
    def sample_rate(self) -> int:
        """Of the waveforms that come in, in Hz."""
        return int(self._full_config()["sampling_rate"])

    @property
    def audio_channels(self) -> int:
        """Of the waveforms that come in."""
        return int(self._full_config()["audio_channels"])

    @property
    def hop_length(self) -> int:
        """Samples per latent step."""
        return prod(self._full_config()["downsampling_ratios"])

    def latent_shape(self, num_samples: int) -> tuple[int, ...]:
        """Shape of the latent of one waveform [audio_channels, num_samples]: [latent_channels, num_samples / hop].

        Raises:
            ValueError: The model does not take so many samples.
        """
        hop = self.hop_length
        if num_samples < hop or num_samples % hop:
            raise ValueError(f"this VAE takes multiples of {hop} samples, got {num_samples}")
        return (int(self._full_config()["decoder_input_channels"]), num_samples // hop)

    def _full_config(self) -> Mapping[str, Any]:
        return STABLE_AUDIO_CONFIG | dict(self.config())
