"""Settings of the reconstruct worker."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workers.audio.griffin_lim_spec import GriffinLimSpec
from workers.audio.mel_spec import MelSpec
from workers.audio_column import AudioColumn
from workers.column import Column
from workers.device_kind import RequestedDevice
from workers.models.precision import Precision
from workers.models.vae_spec import VaeSpec, WaveformVaeSpec, check_front_end, latent_shape, step_samples
from workers.models.vocoder_spec import VocoderSpec
from workers.number_column import NumberColumn
from workers.spec import Spec

Method = Literal["griffin_lim", "vocoder", "hybrid", "decode"]
NEED_VOCODER = frozenset({"vocoder", "hybrid"})
Stored = Literal["mel", "moments", "mean", "sample"]
STORED_COLUMNS: dict[Stored, tuple[str, ...]] = {
    "mel": ("mel",),
    "moments": ("latent_mean", "latent_logvar"),
    "mean": ("latent_mean",),
    "sample": ("latent_sample",),
}
"""What a store may hold, and the columns that it is in."""

_DESCRIPTIONS: dict[Method, str] = {
    "griffin_lim": "the mel turned back into sound by mel inversion and Griffin-Lim",
    "vocoder": "the mel turned back into sound by the vocoder",
    "hybrid": "the mel turned back into sound by Griffin-Lim from the vocoder's phases",
    "decode": "what the VAE's decoder gives",
}


class ReconstructWorkerSpec(Spec):
    """Waveforms, or what a store keeps of them, in; waveforms out that went through a mel, a VAE or both."""

    stored: Stored | None = None
    """What comes in from a store; waveforms where null."""

    mel: MelSpec | None = MelSpec(preset="audioldm2")
    """The front end; null where the VAE takes waveforms."""

    model: VaeSpec | None = None
    """The VAE between the mels, or of waveforms; none where null."""

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
    """Audio channels of every unit; unless the VAE takes waveforms, each is a mono signal of its own."""

    @model_validator(mode="after")
    def _check_methods(self) -> Self:
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods {', '.join(self.methods)} repeat one: name each once")
        needy = [method for method in self.methods if method in NEED_VOCODER]
        if needy and self.vocoder is None:
            raise ValueError(f"methods has {', '.join(needy)}, but there is no vocoder: set vocoder, or leave it out")
        decodes, takes_waveforms = "decode" in self.methods, isinstance(self.model, WaveformVaeSpec)
        if takes_waveforms and set(self.methods) != {"decode"}:
            raise ValueError(f"methods are {', '.join(self.methods)}, but a VAE of waveforms needs none but decode")
        if decodes and not takes_waveforms:
            raise ValueError("methods has decode, but only a VAE of waveforms decodes to sound: leave it out")
        check_front_end(self.model, self.mel)
        if self.stored not in (None, "mel") and self.model is None:
            raise ValueError(f"stored are latents ({self.stored}), but there is no model to decode them: set model")
        if self.latent == "sample" and self.stored == "mean":
            raise ValueError("latent is sample, but only the mean is stored: set latent: mean")
        return self

    @property
    def sample_rate(self) -> int:
        """Of the sounds, in Hz."""
        if isinstance(self.model, WaveformVaeSpec):
            return self.model.sample_rate
        assert self.mel is not None
        return self.mel.sample_rate

    @property
    def min_samples(self) -> int:
        """A unit has at least as many samples."""
        return 1 if self.mel is None else self.mel.min_samples

    @property
    def alignment_samples(self) -> int:
        """A unit's samples must be a multiple of this: the hop times the frames per latent step; the hop alone where
        mels are stored, whose lengths are what they are.

        Raises:
            ValueError: The model's config cannot be read.
        """
        if self.model is not None and self.stored != "mel":
            return step_samples(self.model, self.mel)
        assert self.mel is not None
        return self.mel.hop_length

    @property
    def draws(self) -> bool:
        """Whether a latent is drawn here: what a store drew is taken as it is."""
        return self.latent == "sample" and self.stored != "sample"

    @property
    def stored_columns(self) -> tuple[str, ...]:
        """Names of the tensors that come in."""
        if self.stored is None:
            return ()
        return STORED_COLUMNS[self.stored] if self.draws else STORED_COLUMNS[self.stored][:1]

    def stored_shape(self, num_samples: int) -> tuple[int, ...]:
        """Shape of each stored tensor of a unit of `num_samples`: its signals, of which there is one per channel or
        one in all, and then that of each.

        Raises:
            ValueError: The model does not take such a unit, or its config cannot be read.
        """
        if self.stored == "mel":
            assert self.mel is not None
            return (self.channels, self.mel.n_mels, self.mel.num_frames(num_samples))
        assert self.model is not None
        signals = 1 if isinstance(self.model, WaveformVaeSpec) else self.channels
        return (signals, *latent_shape(self.model, self.mel, num_samples))

    def outputs(self, num_samples: int, channels: int) -> tuple[Column, ...]:
        """The columns of a unit [channels, num_samples]: the sound that came in, that of each method, and numbers.

        Raises:
            ValueError: The model does not take such a unit, or its config cannot be read.
        """
        if channels != self.channels:
            raise ValueError(f"the spec says {self.channels} channels, a unit has {channels}")
        if (rate := self.sample_rate) > 65_535 and rate % 10:
            raise ValueError(f"mel.sample_rate is {rate}; FLAC holds rates above 65535 Hz only in steps of 10")
        if isinstance(self.model, WaveformVaeSpec) and channels != self.model.audio_channels:
            raise ValueError(f"this VAE takes waveforms of {self.model.audio_channels} channels, a unit has {channels}")
        if self.model:
            latent_shape(self.model, self.mel, num_samples)
        columns: list[Column] = []
        if self.stored is None:
            columns += _sound("original", "the sound as it was decoded", num_samples, channels, rate)
        for method in self.methods:
            level = ", at the original's level" if self.stored is None and method != "decode" else ""
            columns += _sound(method, _DESCRIPTIONS[method] + level, num_samples, channels, rate)
            columns += self._numbers(method)
        return tuple(columns)

    def _numbers(self, method: Method) -> list[Column]:
        """What is known of a sound; how far it is from its original only where that is there."""
        began = "in the VAE's decoder" if method == "decode" else "from the mel on"
        seconds = NumberColumn(
            name=f"{method}_seconds",
            description=f"time that {method} took {began}; not in the digest",
            unit="s",
            is_content=False,
        )
        if self.stored is not None:
            return [seconds]
        return [
            NumberColumn(
                name=f"{method}_snr_db",
                description=f"ratio of the original's energy to that of what {method} changed in it",
                unit="dB",
            ),
            NumberColumn(
                name=f"{method}_correlation", description=f"Pearson correlation of the original with {method}"
            ),
            seconds,
        ]


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
