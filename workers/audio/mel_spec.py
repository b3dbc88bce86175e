"""Settings of the mel front end."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from workers.spec import Spec

PRESETS: dict[str, dict[str, Any]] = {
    # The front end of latentmill's own AudioVAE: long windows, 32 ms hops, levels as recorded.
    "audiovae": {"n_fft": 2048, "win_length": 2048, "hop_length": 512, "remove_mean": False, "peak": None},
    # What AudioLDM2's VAE and vocoder were trained on: https://arxiv.org/abs/2308.05734
    "audioldm2": {"n_fft": 1024, "win_length": 1024, "hop_length": 160, "remove_mean": True, "peak": 0.5},
}


class MelSpec(Spec):
    """A log-mel spectrogram, from samples to stored values.

    `preset` fills every field that is not given; a given field wins. The dump is fully resolved, so
    `MelSpec(**spec.model_dump()) == spec`. The defaults shown below are those of `audiovae`.

    Frames are not centred: the waveform is extended by reflection so that frame i is centred on hop i, and
    `num_frames * hop_length` samples give exactly `num_frames` frames:

        reflected (n_fft - hop)/2   |<------- num_samples = num_frames * hop ------->|   reflected (n_fft - hop)/2
                        . . . . . . |---hop---|---hop---|---hop---|  ...   |---hop---| . . . . . .
                        [====== frame 0 (n_fft) ======]
                                  [====== frame 1 (n_fft) ======]
    """

    preset: Literal["audiovae", "audioldm2"] = "audiovae"
    """Named front end that fills the fields that are not given."""

    sample_rate: Annotated[int, Field(ge=1_000, le=384_000)] = 16_000
    """Rate of the waveform that comes in, Hz."""

    n_fft: Annotated[int, Field(ge=16, le=65_536)] = 2048
    """Length of the Fourier transform, samples."""

    win_length: Annotated[int, Field(ge=16, le=65_536)] = 2048
    """Length of the periodic Hann window, samples; centred in the frame where it is shorter than `n_fft`."""

    hop_length: Annotated[int, Field(ge=1, le=65_536)] = 512
    """Distance between frames, samples."""

    n_mels: Annotated[int, Field(ge=1, le=1024)] = 64
    """Number of mel bands."""

    f_min_hz: Annotated[float, Field(ge=0)] = 0.0
    """Lower edge of the lowest band."""

    f_max_hz: Annotated[float, Field(gt=0)] = 8_000.0
    """Upper edge of the highest band; at most half the sample rate."""

    mel_scale: Literal["slaney", "htk"] = "slaney"
    """Frequency scale: Slaney's (linear below 1 kHz, as librosa's default) or HTK's 2595·log10(1 + f/700)."""

    mel_norm: Literal["slaney", "none"] = "slaney"
    """`slaney` gives every band unit area over frequency; `none` gives triangles of height 1."""

    spectrum: Literal["magnitude", "power"] = "magnitude"
    """What the bands sum: |X| or |X|²."""

    log: Literal["ln", "log10", "none"] = "ln"
    """Compression of the band values."""

    floor: Annotated[float, Field(gt=0)] = 1e-5
    """Band values are raised to at least this before the logarithm."""

    remove_mean: bool = False
    """Subtract each clip's mean (over its true length, each channel on its own)."""

    peak: Annotated[float, Field(gt=0, le=1)] | None = None
    """Scale each clip so that its largest absolute sample, over all channels, is this."""

    loudness_lufs: Annotated[float, Field(ge=-70, le=0)] | None = None
    """Scale each clip to this integrated loudness (ITU-R BS.1770-4); peaks may then exceed 1."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        preset = given.get("preset", "audiovae")
        return {**(PRESETS.get(preset, {}) if isinstance(preset, str) else {}), **given}

    @model_validator(mode="after")
    def _check_fields_agree(self) -> Self:
        if self.win_length > self.n_fft:
            raise ValueError(
                f"win_length {self.win_length} is longer than n_fft {self.n_fft}: set win_length to at most n_fft"
            )
        if self.hop_length > self.n_fft:
            raise ValueError(
                f"hop_length {self.hop_length} is longer than n_fft {self.n_fft}, which would skip samples: "
                "shorten the hop or lengthen n_fft"
            )
        if self.f_max_hz > self.sample_rate / 2:
            raise ValueError(
                f"f_max_hz {self.f_max_hz:g} is above half the sample_rate ({self.sample_rate} / 2 = "
                f"{self.sample_rate / 2:g}): lower f_max_hz or raise sample_rate"
            )
        if self.f_min_hz >= self.f_max_hz:
            raise ValueError(f"f_min_hz {self.f_min_hz:g} must be below f_max_hz {self.f_max_hz:g}")
        if self.peak is not None and self.loudness_lufs is not None:
            raise ValueError(
                f"peak {self.peak:g} and loudness_lufs {self.loudness_lufs:g} both set the level: "
                "give one and set the other to null"
            )
        return self

    @property
    def min_samples(self) -> int:
        """Fewest samples that give a frame and can be reflected at the edges."""
        return max(self.hop_length, (self.n_fft - self.hop_length + 1) // 2 + 1)

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip; samples after the last whole hop only serve as context.

        Raises:
            ValueError: The clip is shorter than `min_samples`.
        """
        if num_samples < self.min_samples:
            raise ValueError(
                f"{num_samples} samples are too few for a mel with n_fft {self.n_fft} and hop_length "
                f"{self.hop_length}: at least {self.min_samples} are needed"
            )
        return num_samples // self.hop_length
