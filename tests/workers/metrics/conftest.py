"""Pairs of clips that every metric is tried on: made-up ones always, recorded ones where they are."""

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from workers.metrics.pair import Pair

Samples = NDArray[np.float64]

SOUNDS = Path(__file__).parents[4] / "shared" / "data" / "sounds"
RATE = 16_000
MADE_UP = ("chord", "bursts", "syllables", "faint", "odd length")
RECORDED = ("ambi_piano", "bd_808", "drum_roll", "arovane_beat_b", "ambi_dark_woosh", "elec_blip")


def noise(num_samples: int, seed: int) -> Samples:
    return np.random.default_rng(seed).standard_normal(num_samples)


def made_up(name: str) -> Samples:
    """Clips of 3 to 5 s at 16 kHz."""
    time = np.arange(RATE * 5) / RATE
    chord = sum(0.1 * np.sin(2 * np.pi * f * time * (1 + 0.1 * time)) for f in (220.0, 331.0, 1250.0))
    if name == "chord":
        return chord
    if name == "bursts":
        return 0.3 * noise(len(time), 1) * np.exp(-((time * 3) % 1.0) * 12)
    if name == "syllables":  # a buzz through a resonance that opens and closes, with pauses
        tones = [(120 * n, 1 / (1 + ((120 * n - 700) / 300) ** 2)) for n in range(1, 60)]
        buzz = sum(gain * np.sin(2 * np.pi * f * time + f * f / 20_000) for f, gain in tones)
        return 0.1 * buzz * np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None) * (np.sin(2 * np.pi * 0.4 * time) > -0.5)
    if name == "faint":
        return 1e-4 * chord
    return chord[: 3 * RATE + 77] + 0.02 * noise(3 * RATE + 77, 2)


def recorded(name: str, rate_hz: int | None) -> tuple[Samples, int]:
    """A recording's first 5 s in mono, at a rate or its own."""
    path = SOUNDS / f"{name}.flac"
    if not path.exists():
        pytest.skip("the recorded sounds are not on this machine")
    samples, rate = soundfile.read(path, always_2d=True)
    mono = samples.mean(axis=1)
    if rate_hz is not None and rate_hz != rate:
        mono, rate = soxr.resample(mono, rate, rate_hz), rate_hz
    return mono[: 5 * rate], rate


def degraded(reference: Samples, seed: int = 9) -> Samples:
    """Duller, hissing, 2 dB down, and quantised."""
    level = np.sqrt(np.square(reference).mean())
    smooth = np.convolve(reference, [0.2, 0.5, 0.3], mode="same")
    worse = 0.8 * smooth + 0.05 * level * noise(len(reference), seed)
    step = level / 16
    return np.asarray(np.round(worse / step) * step)


def pair_of(reference: NDArray[np.floating], degraded: NDArray[np.floating], rate: int = RATE) -> Pair:
    return Pair.of(reference, degraded, reference_rate_hz=rate, degraded_rate_hz=rate, hop_length=512)


@pytest.fixture
def make_pair() -> Callable[..., Pair]:
    return pair_of


@pytest.fixture
def make_clip() -> Callable[[str], Samples]:
    return made_up


@pytest.fixture
def degrade() -> Callable[..., Samples]:
    return degraded


@pytest.fixture(params=(*MADE_UP, *RECORDED))
def any_pair(request: pytest.FixtureRequest) -> Pair:
    """At the clip's own rate."""
    reference, rate = (made_up(request.param), RATE) if request.param in MADE_UP else recorded(request.param, None)
    return pair_of(reference, degraded(reference), rate)


@pytest.fixture(params=(*MADE_UP, *RECORDED))
def pair_16k(request: pytest.FixtureRequest) -> Pair:
    reference = made_up(request.param) if request.param in MADE_UP else recorded(request.param, RATE)[0]
    return pair_of(reference, degraded(reference))


@pytest.fixture
def float64_default() -> Iterator[None]:
    """Lets oracles that make their own windows and filters make them in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def pesq() -> ModuleType:
    """The package, which needs a C compiler to be installed, and so is not among what `make test` installs."""
    if importlib.util.find_spec("pesq") is None:
        warnings.warn(
            pytest.PytestWarning("PESQ IS NOT TESTED HERE: pip install pesq==0.0.4 (needs a C compiler) to test it"),
            stacklevel=1,
        )
        pytest.skip("the package pesq is missing")
    return importlib.import_module("pesq")
