"""Settings of the AudioVAE."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from workers.models.checkpoint import Checkpoint, existing_folder, find_checkpoint, read_config
from workers.spec import PathText, Spec

_Multiplier = Annotated[int, Field(ge=1, le=32)]

EMBEDDED_FOLDER = Path(__file__).parent / "weights" / "audio_vae"


class AudioVaeConfig(Spec):
    """The architecture; saved as `config.json` beside the weights."""

    mel_channels: Annotated[int, Field(ge=1, le=1024)] = 64
    """Mel bands that come in."""

    latent_channels: Annotated[int, Field(ge=1, le=256)] = 8
    """Channels of the latent."""

    base_channels: Annotated[int, Field(ge=4, le=1024)] = 64
    """Width of the first level."""

    channel_multipliers: Annotated[tuple[_Multiplier, ...], Field(min_length=1, max_length=8)] = (1, 2, 4)
    """Width of each level over `base_channels`; time is halved between levels."""

    num_res_blocks: Annotated[int, Field(ge=1, le=8)] = 2
    """Residual blocks per level."""

    latent_scale_factor: Annotated[float, Field(gt=0)] = 1.0
    """What a latent is multiplied by to have about unit variance; stored latents are not scaled."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Seed of the initial weights."""

    @property
    def time_downsample_factor(self) -> int:
        """Mel frames per latent step."""
        return int(2 ** (len(self.channel_multipliers) - 1))

    def check_mel_shape(self, n_mels: int, num_frames: int) -> None:
        """Refuse a mel that the model cannot take.

        Raises:
            ValueError: Its bands are not `mel_channels`, or its frames not a multiple of the time factor.
        """
        if n_mels != self.mel_channels:
            raise ValueError(
                f"this AudioVAE takes mels of {self.mel_channels} bands, got {n_mels}: set n_mels to match"
            )
        factor = self.time_downsample_factor
        if num_frames < factor or num_frames % factor:
            raise ValueError(f"this AudioVAE takes a multiple of {factor} frames, got {num_frames}")


class AudioVaeSpec(AudioVaeConfig):
    """Which AudioVAE: its weights, and its architecture where they are random."""

    kind: Literal["audio_vae"] = "audio_vae"
    """Selects this model."""

    weights: PathText = "embedded"
    """`embedded` (the package's own), `random` (from `seed`), or a folder (also at a URI) that `AudioVAE.save` wrote.
    As long as the package ships no trained weights, `embedded` is the seeded initialisation, and a run says so."""

    @model_validator(mode="after")
    def _check_architecture_is_free(self) -> Self:
        if self.weights == "random":
            return self
        default = AudioVaeConfig()
        changed = [name for name in AudioVaeConfig.model_fields if getattr(self, name) != getattr(default, name)]
        if changed:
            raise ValueError(
                f"{', '.join(changed)} can only be set with weights: random; "
                f"with weights: {self.weights} the architecture comes from its config.json"
            )
        return self

    def resolved(self) -> tuple[Self, tuple[str, ...]]:
        """This model as every process of a run will find it, with a folder as an absolute path.

        Returns:
            The spec, and a sentence for what the user should know.

        Raises:
            ValueError: There is no such folder.
        """
        if self.weights == "embedded" and not self.is_trained:
            return self, ("weights are untrained: this version embeds none, so `embedded` is a seeded initialisation",)
        if self.weights in ("embedded", "random"):  # whatever folders are called
            return self, ()
        return self.model_copy(update={"weights": existing_folder(self.weights)}), ()

    def checkpoint(self) -> Checkpoint | None:
        """The files to load; None where the weights are random.

        Raises:
            ValueError: They are not there.
        """
        return find_checkpoint(self._folder(), stem="model") if self.is_trained else None

    def config(self) -> AudioVaeConfig:
        """The architecture, from the checkpoint's `config.json` unless the weights are random.

        Raises:
            ValueError: It is missing or not an AudioVAE's.
        """
        if self.is_trained:
            return parse_config(read_config(self._folder()), self._folder())
        return AudioVaeConfig(**{name: getattr(self, name) for name in AudioVaeConfig.model_fields})

    @property
    def is_trained(self) -> bool:
        """Whether the weights come from a checkpoint; otherwise latents mean nothing yet."""
        return self.weights != "random" and (self.weights != "embedded" or EMBEDDED_FOLDER.is_dir())

    @property
    def scale_factor(self) -> float:
        """What a latent is multiplied by to have about unit variance."""
        return self.config().latent_scale_factor

    @property
    def time_downsample_factor(self) -> int:
        """Mel frames per latent step of the model that will be loaded."""
        return self.config().time_downsample_factor

    def latent_shape(self, n_mels: int, num_frames: int) -> tuple[int, ...]:
        """Shape of the latent of one mel [n_mels, num_frames]: [latent_channels, num_frames / factor].

        Raises:
            ValueError: The model does not take such a mel.
        """
        config = self.config()
        config.check_mel_shape(n_mels, num_frames)
        return (config.latent_channels, num_frames // config.time_downsample_factor)

    def _folder(self) -> str:
        return str(EMBEDDED_FOLDER) if self.weights == "embedded" else existing_folder(self.weights)


def parse_config(settings: Mapping[str, Any], folder: str | Path) -> AudioVaeConfig:
    """The architecture that the `config.json` of a folder describes.

    Raises:
        ValueError: It is not an AudioVAE's.
    """
    try:
        return AudioVaeConfig(**settings)
    except ValidationError as error:
        raise ValueError(f"{folder}/config.json is not an AudioVAE's: {error.errors()[0]['msg']}") from error
