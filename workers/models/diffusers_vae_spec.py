"""Settings of VAEs in the diffusers format."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from workers.models.checkpoint import Checkpoint, find_checkpoint, find_folder, hub_commit, read_config
from workers.spec import PathText, Spec

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


class DiffusersVaeSpec(Spec):
    """A published `AutoencoderKL` that sees a mel as a one-channel picture."""

    kind: Literal["autoencoder_kl"] = "autoencoder_kl"
    """Selects this model."""

    weights: PathText = "cvssp/audioldm2"
    """A folder (here or at a URI) or hub id of a VAE or of a pipeline with a `vae` folder; or `random`, AudioLDM2's
    shape from `seed`."""

    revision: str | None = None
    """Commit, tag or branch on the hub; the newest commit where null. A run keeps to the commit that it began with."""

    allow_pickle: bool = False
    """Load `.bin` weights where there are no safetensors. Unpickling can run code that the author chose."""

    mel_layout: Literal["time_first", "frequency_first"] = "time_first"
    """Picture axes: `time_first` [1, frames, n_mels], as in AudioLDM; or `frequency_first` [1, n_mels, frames]."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Seed of the weights where they are random."""

    def resolved(self) -> tuple[Self, tuple[str, ...]]:
        """This model as every process of a run will find it: a folder as an absolute path, or a hub id at one commit.

        Returns:
            The spec, and a sentence for what was decided.

        Raises:
            ValueError: There is no such folder, and the hub cannot give it either.
        """
        if self.weights == "random":
            return self, ()
        if folder := find_folder(self.weights):
            return self.model_copy(update={"weights": folder}), ()
        commit = hub_commit(self.weights, subfolder="vae", revision=self.revision)
        if commit == self.revision:
            return self, ()
        meaning = f"revision {self.revision}" if self.revision else "the newest revision"
        return self.model_copy(update={"revision": commit}), (
            f"weights are {self.weights} at commit {commit}, which {meaning} stands for",
        )

    def checkpoint(self) -> Checkpoint | None:
        """The files to load; None where the weights are random.

        Raises:
            ValueError: They are not there, not safetensors, or of another model class.
        """
        if self.weights == "random":
            return None
        checkpoint = find_checkpoint(
            self.weights,
            stem="diffusion_pytorch_model",
            subfolder="vae",
            revision=self.revision,
            allow_pickle=self.allow_pickle,
        )
        _check_class(checkpoint.config, self.weights)
        return checkpoint

    def config(self) -> Mapping[str, Any]:
        """The model's `config.json`.

        Raises:
            ValueError: It is missing, or of another model class.
        """
        if self.weights == "random":
            return AUDIOLDM2_CONFIG
        config = read_config(self.weights, subfolder="vae", revision=self.revision)
        _check_class(config, self.weights)
        return config

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
        raise ValueError(f"{weights} holds a {name}, expected one of: {', '.join(SUPPORTED_CLASSES)}")
    if (in_channels := config.get("in_channels", 3)) != 1:
        raise ValueError(
            f"{weights} takes pictures of {in_channels} channels, a mel has 1: choose a VAE that was trained on mels"
        )
