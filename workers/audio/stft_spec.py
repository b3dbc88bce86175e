"""Settings of a short-time Fourier transform that can be inverted."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workers.audio.mel_spec import MelSpec
from workers.spec import Spec


class StftSpec(Spec):
    """How a waveform is cut into windowed frames, and put together from them.

    `framing` says what the waveform is extended by, always by reflection, before it is cut:

        centred      n_fft/2 at each end: frame i is centred on sample i * hop (torch's and librosa's `center=True`)
        hop_centred  (n_fft - hop)/2: frame i is centred on hop i, and n * hop samples are n frames (as `MelSpec`)
        uncentred    nothing: frame i begins at sample i * hop
    """

    n_fft: Annotated[int, Field(ge=2, le=65_536)] = 1024
    """Length of the Fourier transform, samples; odd ones are allowed."""

    win_length: Annotated[int, Field(ge=2, le=65_536)] = 1024
    """Length of the window, samples; centred in the frame where it is shorter than `n_fft`."""

    hop_length: Annotated[int, Field(ge=1, le=65_536)] = 160
    """Distance between frames, samples."""

    window: Literal["hann", "hamming", "blackman"] = "hann"
    """Shape of the periodic window."""

    framing: Literal["centred", "hop_centred", "uncentred"] = "centred"
    """Where the frames lie."""

    @model_validator(mode="after")
    def _check_lengths_agree(self) -> Self:
        if self.win_length > self.n_fft:
            raise ValueError(
                f"win_length {self.win_length} is longer than n_fft {self.n_fft}: set win_length to at most n_fft"
            )
        if self.hop_length > self.win_length:
            raise ValueError(
                f"hop_length {self.hop_length} is longer than win_length {self.win_length}, which would skip samples: "
                "shorten the hop or lengthen the window"
            )
        return self

    @classmethod
    def of_mel(cls, spec: MelSpec) -> Self:
        """The transform inside a mel front end."""
        return cls(n_fft=spec.n_fft, win_length=spec.win_length, hop_length=spec.hop_length, framing="hop_centred")

    @property
    def num_bins(self) -> int:
        """Bins of a frame's spectrum."""
        return self.n_fft // 2 + 1

    @property
    def samples_before(self) -> int:
        """Samples by which the waveform is extended at its beginning."""
        if self.framing == "centred":
            return self.n_fft // 2
        return (self.n_fft - self.hop_length) // 2 if self.framing == "hop_centred" else 0

    def num_frames(self, num_samples: int) -> int:
        """Frames of a waveform; 0 where it is too short for one."""
        if self.framing == "centred":  # at an odd n_fft the margins are a sample short of a frame, as torch's
            return 1 + (num_samples - self.n_fft % 2) // self.hop_length
        if self.framing == "hop_centred":
            return num_samples // self.hop_length
        return max(0, 1 + (num_samples - self.n_fft) // self.hop_length)

    def num_samples(self, num_frames: int) -> int:
        """The shortest waveform that has so many frames."""
        if self.framing == "centred":
            return (num_frames - 1) * self.hop_length + self.n_fft % 2
        if self.framing == "hop_centred":
            return num_frames * self.hop_length
        return self.n_fft + (num_frames - 1) * self.hop_length
