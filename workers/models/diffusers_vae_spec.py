"""Settings of VAEs in the diffusers format."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from workers.models.published_spec import PublishedSpec
from workers.spec import PathText

# AudioLDM2's VAE (https://huggingface.co/cvssp/audioldm2, vae/config.json).
AUDIOLDM2_CONFIG: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "in_channels": 1,
    "out_channels": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
    "block_out_channels": [128, 256, 512],
    "layers_per_block": 2,
    "latent_channels": 8,
    "norm_num_groups": 32,
    "sample_size": 1024,
}

SUPPORTED_CLASSES = ("AutoencoderKL",)


class DiffusersVaeSpec(PublishedSpec):
    """A published `AutoencoderKL` that sees a mel as a one-channel picture."""

    subfolder: ClassVar[str] = "vae"
    stem: ClassVar[str] = "diffusion_pytorch_model"
    random_config: ClassVar[Mapping[str, Any]] = AUDIOLDM2_CONFIG

    kind: Literal["autoencoder_kl"] = "autoencoder_kl"
    """Selects this model."""

    weights: PathText = "cvssp/audioldm2"
    """A folder (here or at a URI) or hub id of a VAE or of a pipeline with a `vae` folder; or `random`, AudioLDM2's
    shape from `seed`."""

    mel_layout: Literal["time_first", "frequency_first"] = "time_first"
    """Picture axes: `time_first` [1, frames, n_mels], as in AudioLDM; or `frequency_first` [1, n_mels, frames]."""

    @classmethod
    def check_class(cls, config: Mapping[str, Any], weights: str) -> None:
        """As `PublishedSpec` says."""
        _check_class(config, weights)

    @property
    def scale_factor(self) -> float:
        """The config's `scaling_factor`: what a latent is multiplied by to have about unit variance."""
        return float(self.config().get("scaling_factor", 0.18215))  # the class's own default

    @property
    def time_downsample_factor(self) -> int:
        """Mel frames per latent step."""
        return downsample_factor(self.config())

    def latent_shape(self, n_mels: int, num_frames: int) -> tuple[int, ...]:
        """Shape of the latent of one mel [n_mels, num_frames]: [latent_channels, *axes of mel_layout / factor].

        Raises:
            ValueError: The model does not take such a mel.
        """
        config = self.config()
        check_picture(config, n_mels, num_frames)
        factor = downsample_factor(config)
        height, width = (num_frames, n_mels) if self.mel_layout == "time_first" else (n_mels, num_frames)
        return (int(config.get("latent_channels", 4)), height // factor, width // factor)


def downsample_factor(config: Mapping[str, Any]) -> int:
    """How much an `AutoencoderKL` with this config shrinks each axis: a halving between levels."""
    return int(2 ** (len(config.get("block_out_channels", (64,))) - 1))


def check_picture(config: Mapping[str, Any], n_mels: int, num_frames: int) -> None:
    """Refuse a mel that an `AutoencoderKL` with this config cannot take as a picture.

    Raises:
        ValueError: Its bands or its frames are not a multiple of the downsample factor.
    """
    factor = downsample_factor(config)
    if n_mels % factor or num_frames % factor or not num_frames:
        raise ValueError(
            f"this VAE takes multiples of {factor} mel bands and frames, got {n_mels} bands and {num_frames} frames"
        )


def _check_class(config: Mapping[str, Any], weights: str) -> None:
    name = config.get("_class_name")
    if name not in SUPPORTED_CLASSES:
        hint = " (set model.kind: autoencoder_oobleck)" if name == "AutoencoderOobleck" else ""
        raise ValueError(f"{weights} holds a {name}, expected one of: {', '.join(SUPPORTED_CLASSES)}{hint}")
    if (in_channels := config.get("in_channels", 3)) != 1:
        raise ValueError(
            f"{weights} takes pictures of {in_channels} channels, a mel has 1: choose a VAE that was trained on mels"
        )
