"""Sounds as data that a page carries with it, of bounded size."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from workers.media.flac import encode_flac

PLAYED_SECONDS = 15.0
"""Longer sounds are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A sound in a page."""

    uri: str
    """A `data:` URI of FLAC."""
    seconds: float
    """Length of what is played."""
    is_cut: bool
    """Whether the sound itself is longer."""
    num_bytes: int


def clip_of_flac(flac: bytes) -> Clip:
    """A stored sound: its own bytes where it is mono and short, else mixed and cut."""
    info = soundfile.info(io.BytesIO(flac))
    if info.channels == 1 and info.frames <= PLAYED_SECONDS * info.samplerate:
        return _clip(flac, info.frames / info.samplerate, is_cut=False)
    samples, rate = read_flac(flac)
    return clip_of_samples(samples, rate)


def clip_of_samples(samples: NDArray[np.float32], sample_rate: int) -> Clip:
    """A waveform float32 [T], cut if it is long."""
    kept = samples[: round(PLAYED_SECONDS * sample_rate)]
    return _clip(encode_flac(kept[None], sample_rate), len(kept) / sample_rate, is_cut=len(kept) < len(samples))


def read_flac(flac: bytes) -> tuple[NDArray[np.float32], int]:
    """A stored sound as mono samples float32 [T], and its rate in Hz."""
    samples, rate = soundfile.read(io.BytesIO(flac), dtype="float32", always_2d=True)
    return samples.mean(axis=1, dtype=np.float32), int(rate)


def _clip(flac: bytes, seconds: float, *, is_cut: bool) -> Clip:
    uri = "data:audio/flac;base64," + base64.b64encode(flac).decode()
    return Clip(uri=uri, seconds=seconds, is_cut=is_cut, num_bytes=len(flac))
