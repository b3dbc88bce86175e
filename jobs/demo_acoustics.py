"""The parts that demo sounds are built from: shaped noise, gliding tones, ringing modes, a room."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Signal = NDArray[np.float64]
"""Mono [T] or stereo [T, 2]; any level, `write_demo_sounds` sets the peak."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The time axis of one sound."""

    rate: int
    """Sample rate, Hz."""

    num: int
    """Length in samples."""

    @property
    def seconds(self) -> float:
        """Length."""
        return self.num / self.rate

    @property
    def t(self) -> Signal:
        """Time of each sample, seconds [T]."""
        return np.arange(self.num) / self.rate

    def first(self, seconds: float) -> "Clock":
        """A clock of the same rate that runs for `seconds` only."""
        return Clock(self.rate, max(1, round(seconds * self.rate)))


def filtered(x: Signal, rate: int, gain: Callable[[Signal], Signal]) -> Signal:
    """The signal [T] with its spectrum multiplied by `gain(frequency in Hz)`."""
    frequency: Signal = np.fft.rfftfreq(len(x), 1 / rate).astype(np.float64)
    out: Signal = np.fft.irfft(np.fft.rfft(x) * gain(frequency), len(x))
    return out


def noise(rng: Generator, clock: Clock, gain: Callable[[Signal], Signal]) -> Signal:
    """Gaussian noise [T] of unit RMS whose spectrum follows `gain(frequency in Hz)`."""
    shaped = filtered(rng.standard_normal(clock.num), clock.rate, gain)
    shaped /= np.sqrt(np.mean(shaped**2)) + 1e-12
    return shaped


def band(low_hz: float, high_hz: float) -> Callable[[Signal], Signal]:
    """A gain for `noise` and `filtered`: 1 between the edges, 12 dB per octave down outside them."""
    return lambda f: 1 / np.sqrt((1 + (low_hz / np.maximum(f, 1e-3)) ** 4) * (1 + (f / high_hz) ** 4))


def peak(frequency: Signal, centre_hz: float, width_hz: float) -> Signal:
    """The gain of one resonance, 1 at its centre and a half one width away."""
    return 1 / (1 + ((frequency - centre_hz) / width_hz) ** 2)


def wander(rng: Generator, clock: Clock, speed_hz: float) -> Signal:
    """A smooth random curve [T] around 0 with standard deviation 1 that changes at about `speed_hz`."""
    knots = rng.standard_normal(int(clock.seconds * speed_hz) + 4)
    position = clock.t * speed_hz
    left, fraction = position.astype(int), position % 1
    blend = (1 - np.cos(np.pi * fraction)) / 2
    curve: Signal = knots[left] * (1 - blend) + knots[left + 1] * blend
    return curve


def turns(frequency: Signal | float, clock: Clock) -> Signal:
    """Phase [T] in whole turns of a tone that follows `frequency` in Hz."""
    return np.cumsum(np.broadcast_to(frequency, clock.num)) / clock.rate


def tone(frequency: Signal | float, clock: Clock, overtones: Iterable[float] = (1.0,)) -> Signal:
    """A gliding tone [T] with the given amplitudes of its harmonics; those above the Nyquist frequency fall silent."""
    phase, fastest = 2 * np.pi * turns(frequency, clock), np.broadcast_to(frequency, clock.num)
    return sum(
        (level * np.sin(k * phase) * (k * fastest < clock.rate / 2) for k, level in enumerate(overtones, 1)),
        start=np.zeros(clock.num),
    )


def modes(rng: Generator, clock: Clock, parts: Iterable[tuple[float, float, float]]) -> Signal:
    """A struck body [T]: the sum of decaying sines, each (frequency in Hz, level, decay to 1/e in seconds)."""
    ring = np.zeros(clock.num)
    for frequency, level, decay in parts:
        t = clock.t[: round(10 * decay * clock.rate)]  # the rest is 87 dB down
        if frequency < clock.rate / 2:
            ring[: len(t)] += level * np.exp(-t / decay) * np.sin(2 * np.pi * (frequency * t + rng.random()))
    return ring * np.minimum(1, clock.t / 0.0005)


def place(mix: Signal, piece: Signal, at_seconds: float, rate: int, pan: float = 0.5) -> None:
    """Add a mono piece into a mono or stereo mix, in place; `pan` runs from 0, left, to 1, right."""
    start = round(at_seconds * rate)
    piece = piece[: max(0, len(mix) - start)]
    gains = np.array([np.cos(pan * np.pi / 2), np.sin(pan * np.pi / 2)])
    mix[start : start + len(piece)] += piece if mix.ndim == 1 else piece[:, None] * gains


def room(rng: Generator, dry: Signal, rate: int, decay_seconds: float, wet: float) -> Signal:
    """Put a mono or stereo signal into a room: convolve with decaying noise, its own for each channel."""
    clock = Clock(rate, round(3 * decay_seconds * rate))
    size = len(dry) + clock.num
    out = dry.copy()
    for channel in np.atleast_2d(out.T):
        tail = noise(rng, clock, band(150, 5000)) * np.exp(-clock.t / decay_seconds)
        tail /= np.sqrt(np.sum(tail**2))
        channel += wet * np.fft.irfft(np.fft.rfft(channel, size) * np.fft.rfft(tail, size), size)[: len(channel)]
    return out
