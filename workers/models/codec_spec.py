"""Settings of neural audio codecs in the transformers format."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from workers.models.published_spec import PublishedSpec
from workers.spec import PathText


class CodecSpec(PublishedSpec):
    """A published codec, of which the encoder and the quantiser are used."""

    subfolder: ClassVar[str] = ""
    stem: ClassVar[str] = "model"
    random_config: ClassVar[Mapping[str, Any]] = {}
    class_name: ClassVar[str]
    """Of the model in transformers; its config is called alike."""
    codebooks_field: ClassVar[str] = "num_quantizers"
    """Of the config: how many codebooks there are."""

    kind: str
    """Selects a model."""

    num_codebooks: Annotated[int, Field(ge=1)] | None = None
    """How many of the codebooks are kept, the coarsest first; all of them where null."""

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.weights == "random":
            raise ValueError("weights is random, whose codes mean nothing: give a folder or hub id")
        return self

    @classmethod
    def check_class(cls, config: Mapping[str, Any], weights: str) -> None:
        """As `PublishedSpec` says."""
        wanted = cls.model_fields["kind"].default
        if (found := config.get("model_type")) != wanted:
            raise ValueError(f"{weights} holds a model of type {found}, expected {wanted}: set model.kind to match")
        if config.get("chunk_length_s") or config.get("normalize"):
            raise ValueError(
                f"{weights} encodes in chunks of a level of their own, without which codes cannot be decoded: choose a"
                " codec of whole sounds, such as facebook/encodec_24khz"
            )
        if (channels := config.get("audio_channels", 1)) != 1:
            raise ValueError(f"{weights} takes {channels} channels at once: choose a mono codec")

    @property
    def sample_rate(self) -> int:
        """Of the waveforms that come in, in Hz."""
        return int(self._settings().sampling_rate)

    @property
    def hop_length(self) -> int:
        """Samples per frame of codes."""
        settings = self._settings()
        return int(round(settings.sampling_rate / settings.frame_rate))  # noqa: RUF046 (of whatever type they are)

    @property
    def codebook_size(self) -> int:
        """Codes of a codebook."""
        return int(self._settings().codebook_size)

    @property
    def num_kept(self) -> int:
        """Codebooks that are kept.

        Raises:
            ValueError: The codec does not have so many.
        """
        available = int(getattr(self._settings(), self.codebooks_field))
        if self.num_codebooks is not None and self.num_codebooks > available:
            raise ValueError(f"num_codebooks is {self.num_codebooks}, but {self.weights} has {available}")
        return self.num_codebooks or available

    def codes_shape(self, num_samples: int) -> tuple[int, int]:
        """Shape of the codes of one signal of `num_samples`: [codebooks, frames].

        Raises:
            ValueError: It has no whole number of frames.
        """
        if num_samples < self.hop_length or num_samples % self.hop_length:
            raise ValueError(f"this codec takes multiples of {self.hop_length} samples, got {num_samples}")
        return (self.num_kept, num_samples // self.hop_length)

    def _settings(self) -> Any:
        self.config()  # looks whether it is this kind's
        return _settings_of(self.class_name.replace("Model", "Config"), self.weights, self.revision)


class EncodecCodecSpec(CodecSpec):
    """EnCodec; Défossez et al., https://doi.org/10.48550/arXiv.2210.13438."""

    class_name: ClassVar[str] = "EncodecModel"

    kind: Literal["encodec"] = "encodec"
    """Selects this model."""

    weights: PathText = "facebook/encodec_24khz"
    """A folder (here or at a URI) or hub id of an `EncodecModel` for whole sounds."""


class DacSpec(CodecSpec):
    """Descript's audio codec; Kumar et al., https://doi.org/10.48550/arXiv.2306.06546."""

    class_name: ClassVar[str] = "DacModel"
    codebooks_field: ClassVar[str] = "n_codebooks"

    kind: Literal["dac"] = "dac"
    """Selects this model."""

    weights: PathText = "descript/dac_44khz"
    """A folder (here or at a URI) or hub id of a `DacModel`."""


class MimiSpec(CodecSpec):
    """Mimi; Défossez et al., https://doi.org/10.48550/arXiv.2410.00037. Its first codebook is of meaning."""

    class_name: ClassVar[str] = "MimiModel"

    kind: Literal["mimi"] = "mimi"
    """Selects this model."""

    weights: PathText = "kyutai/mimi"
    """A folder (here or at a URI) or hub id of a `MimiModel`."""


@lru_cache(maxsize=8)
def _settings_of(config_class: str, weights: str, revision: str | None) -> Any:
    """The config with what it leaves out filled in; read once in a process, like the file itself."""
    import transformers

    from workers.models.checkpoint import read_config

    return getattr(transformers, config_class).from_dict(dict(read_config(weights, revision=revision)))
