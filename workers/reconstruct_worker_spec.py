"""Settings of the reconstruct worker."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workers.audio.griffin_lim_spec import GriffinLimSpec
from workers.audio.mel_spec import MelSpec
from workers.audio_column import AudioColumn
from workers.column import Column
from workers.device_kind import RequestedDevice
from workers.models.precision import Precision
from workers.models.vae_spec import VaeSpec
from workers.models.vocoder_spec import VocoderSpec
from workers.number_column import NumberColumn
from workers.spec import Spec

Method = Literal["griffin_lim", "vocoder", "hybrid"]
NEED_VOCODER = frozenset({"vocoder", "hybrid"})

_DESCRIPTIONS: dict[Method, str] = {
    "griffin_lim": "the mel turned back into sound by mel inversion and Griffin-Lim",
    "vocoder": "the mel turned back into sound by the vocoder",
    "hybrid": "the mel turned back into sound by Griffin-Lim from the vocoder's phases",
}


class ReconstructWorkerSpec(Spec):
    """Waveforms in, waveforms out that went through a mel and perhaps a VAE."""

    mel: MelSpec = MelSpec(preset="audioldm2")
    """The front end."""

    model: VaeSpec | None = None
    """The VAE between the mels; none where null."""

    latent: Literal["mean", "sample"] = "mean"
    """What is decoded: the mean of the posterior, or one seeded draw."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("griffin_lim",)
    """How mels become sound again; each gives columns of its own."""

    griffin_lim: GriffinLimSpec = GriffinLimSpec()
    """How phases are found."""

    vocoder: VocoderSpec | None = None
    """The vocoder."""

    precision: Precision = "float32"
    """What VAE and vocoder compute in."""

    microbatch: Annotated[int, Field(ge=1, le=4096)] = 8
    """Units computed at once, padded to this many. Part of the job's identity: it may change the last bits."""

    device: RequestedDevice = "auto"
    """Where to compute; `auto` is the GPU where there is one."""

    channels: Annotated[int, Field(ge=1, le=64)] = 1
    """Audio channels of every unit; each is reconstructed as a mono signal of its own."""

    @model_validator(mode="after")
    def _check_methods(self) -> Self:
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods {', '.join(self.methods)} repeat one: name each once")
        needy = [method for method in self.methods if method in NEED_VOCODER]
        if needy and self.vocoder is None:
            raise ValueError(f"methods has {', '.join(needy)}, but there is no vocoder: set vocoder, or leave it out")
        return self

    @property
    def alignment_samples(self) -> int:
        """A unit's samples must be a multiple of this: the hop times the frames per latent step.

        Raises:
            ValueError: The model's config cannot be read.
        """
        return self.mel.hop_length * (self.model.time_downsample_factor if self.model else 1)

    def outputs(self, num_samples: int, channels: int) -> tuple[Column, ...]:
        """The columns of a unit [channels, num_samples]: the sound that came in, that of each method, and numbers.

        Raises:
            ValueError: The model does not take such a unit, or its config cannot be read.
        """
        if channels != self.channels:
            raise ValueError(f"the spec says {self.channels} channels, a unit has {channels}")
        if (rate := self.mel.sample_rate) > 65_535 and rate % 10:
            raise ValueError(f"mel.sample_rate is {rate}; FLAC holds rates above 65535 Hz only in steps of 10")
        if self.model:
            self.model.latent_shape(self.mel.n_mels, self.mel.num_frames(num_samples))
        columns = _sound("original", "the sound as it was decoded", num_samples, channels, self.mel.sample_rate)
        for method in self.methods:
            described = f"{_DESCRIPTIONS[method]}, at the original's level"
            columns += _sound(method, described, num_samples, channels, self.mel.sample_rate)
            columns += [
                NumberColumn(
                    name=f"{method}_snr_db",
                    description=f"ratio of the original's energy to that of what {method} changed in it",
                    unit="dB",
                ),
                NumberColumn(
                    name=f"{method}_correlation", description=f"Pearson correlation of the original with {method}"
                ),
                NumberColumn(
                    name=f"{method}_seconds",
                    description=f"time that {method} took from the mel on; not in the digest",
                    unit="s",
                    is_content=False,
                ),
            ]
        return tuple(columns)


def _sound(name: str, description: str, num_samples: int, channels: int, sample_rate: int) -> list[Column]:
    """A sound and its peak."""
    return [
        AudioColumn(
            name=name,
            description=description,
            num_channels=channels,
            num_samples=num_samples,
            sample_rate=sample_rate,
        ),
        NumberColumn(
            name=f"{name}_peak",
            description=f"largest absolute sample of {name}; where above 1, its FLAC is divided by it",
        ),
    ]
