"""Synthesise a small captioned sound library, so that the demo and the tests need no downloads.

Every sound is a function of a random generator and a clock, built from the few parts in `jobs.demo_acoustics`. Rates,
channels, lengths and file formats are mixed on purpose; a real collection is no tidier.
"""

import csv
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray

from jobs.demo_acoustics import Clock, Signal, band, filtered, modes, noise, peak, place, room, tone, turns, wander

# Sounds: each takes (generator, clock) and gives a signal


def engine(rng: Generator, clock: Clock) -> Signal:
    """Four cylinders that idle, rev up twice, and idle again; two firings a turn, none like the next."""
    pedal = sum(np.exp(-(((clock.t / clock.seconds - at) / 0.09) ** 2)) for at in (0.35, 0.7))
    firing = 2 * turns(14 + 42 * pedal + 0.3 * wander(rng, clock, 6), clock)
    cylinder = rng.uniform(0.75, 1.25, 4)[firing.astype(int) % 4]
    bang = cylinder * np.exp(-7 * (firing % 1)) * (1 + 0.5 * noise(rng, clock, band(200, 4000)))
    pipe = filtered(bang, clock.rate, lambda f: 0.04 + peak(f, 80, 45) + peak(f, 190, 70) + peak(f, 430, 150))
    loud = filtered(np.tanh(0.7 * pipe / pipe.std()), clock.rate, band(25, 9000))
    return loud * (0.4 + 0.6 * np.clip(pedal, 0, 1))


def rain(rng: Generator, clock: Clock) -> Signal:
    """A steady hiss with thousands of drops in it, some of them on tin."""
    hiss = [noise(rng, clock, band(1200, 7000)) * (1 + 0.12 * wander(rng, clock, 0.7)) for _ in range(2)]
    mix = 0.05 * np.stack(hiss, axis=1)
    for _ in range(round(90 * clock.seconds)):
        ping = (rng.uniform(1500, 6500), rng.lognormal(-2.6, 0.7), rng.uniform(0.002, 0.008))
        place(mix, modes(rng, clock.first(0.04), [ping]), rng.uniform(0, clock.seconds), clock.rate, rng.random())
    return mix


def bell(rng: Generator, clock: Clock) -> Signal:
    """A church bell, struck every two seconds: hum, prime, minor tierce, quint, nominal and more, all beating."""
    prime = rng.uniform(240, 330)
    low = ((0.5, 0.6, 5.0), (1, 0.8, 3.5), (1.2, 0.9, 2.6), (1.5, 0.4, 1.8), (2, 1.0, 1.6))
    high = ((2.66, 0.5, 0.9), (3.01, 0.5, 0.8), (4.17, 0.4, 0.5), (5.43, 0.3, 0.3), (6.8, 0.2, 0.2))
    once = [(prime * ratio, level, decay) for ratio, level, decay in low + high]
    pairs = once + [(pitch + rng.uniform(0.4, 1.4), level, decay) for pitch, level, decay in once]
    mix = np.zeros((clock.num, 2))
    for strike in np.arange(0.1, clock.seconds - 1, 2.0):
        clapper = 0.5 * noise(rng, clock.first(0.05), band(1500, 6000)) * np.exp(-clock.first(0.05).t / 0.008)
        ring = modes(rng, clock, pairs)
        place(ring, clapper, 0, clock.rate)
        place(mix, ring, strike, clock.rate, rng.uniform(0.4, 0.6))
    return room(rng, mix, clock.rate, 0.8, 0.3)


def siren(rng: Generator, clock: Clock) -> Signal:
    """A wailing horn, up fast and down slowly, echoing between houses."""
    cycle = (clock.t / rng.uniform(3.2, 4.2)) % 1
    rise = np.where(cycle < 0.35, cycle / 0.35, (1 - cycle) / 0.65)
    horn = tone(
        560 * 2.3 ** (np.sin(np.pi * (rise - 0.5)) / 2 + 0.5), clock, (1, 0.55, 0.6, 0.3, 0.35, 0.15, 0.15, 0.1)
    )
    return room(rng, horn, clock.rate, 0.5, 0.35)


def footsteps(rng: Generator, clock: Clock) -> Signal:
    """Someone walks on gravel: a dull heel, then the stones it moves, then fewer stones under the toe."""
    mix = np.zeros((clock.num, 2))
    pace = rng.uniform(0.52, 0.6)
    for step, at in enumerate(np.arange(0.15, clock.seconds - 0.4, pace)):
        pan, at = (0.42 if step % 2 else 0.58), at + rng.uniform(-0.02, 0.02)
        place(
            mix,
            modes(rng, clock.first(0.15), [(rng.uniform(70, 95), 0.7, 0.03), (160, 0.3, 0.02)]),
            at,
            clock.rate,
            pan,
        )
        for phase, stones in ((0.0, 26), (0.16, 14)):
            for _ in range(stones):
                grain = clock.first(0.02)
                low = rng.uniform(900, 4000)
                crunch = noise(rng, grain, band(low, 2.2 * low)) * np.exp(-grain.t / rng.uniform(0.001, 0.006))
                place(mix, rng.lognormal(-2.2, 0.7) * crunch, at + phase + rng.gamma(1.6, 0.03), clock.rate, pan)
    return mix


def wind(rng: Generator, clock: Clock) -> Signal:
    """Gusts: a low roar, and a whistle around a corner whose pitch rises with the strength."""
    gust = np.exp(0.55 * wander(rng, clock, 0.9))
    mix = np.empty((clock.num, 2))
    for side in range(2):
        carrier = 2 * np.pi * turns(720 * gust**0.4, clock)
        width = band(0, 22)
        whistle = noise(rng, clock, width) * np.cos(carrier) + noise(rng, clock, width) * np.sin(carrier)
        mix[:, side] = gust * noise(rng, clock, band(50, 240)) + 0.3 * gust**2 * whistle
        mix[:, side] += 0.15 * gust**1.5 * noise(rng, clock, band(700, 3000))
    return mix


def birds(rng: Generator, clock: Clock) -> Signal:
    """Three birds, each with a syllable of its own that it repeats in phrases."""
    mix = np.stack([noise(rng, clock, band(300, 2500)) * 0.004 for _ in range(2)], axis=1)
    for pan in (0.2, 0.55, 0.85):
        centre, bend, warble = rng.uniform(2600, 5600), rng.uniform(-1400, 1400), rng.uniform(0, 350)
        length = rng.uniform(0.05, 0.11)
        syllable = clock.first(length)
        sweep = np.linspace(-1, 1, syllable.num)
        pitch = centre + bend * sweep + 500 * (1 - sweep**2) + warble * np.sin(2 * np.pi * 38 * syllable.t)
        chirp = tone(pitch, syllable, (1, 0.12, 0.04)) * np.hanning(syllable.num)
        at = rng.uniform(0, 0.8)
        while at < clock.seconds - 0.2:
            for _ in range(rng.integers(3, 8)):
                place(mix, chirp * rng.uniform(0.5, 1), at, clock.rate, pan)
                at += length * rng.uniform(1.3, 1.6)
            at += rng.uniform(0.5, 1.3)
    return room(rng, mix, clock.rate, 0.25, 0.2)


def heartbeat(rng: Generator, clock: Clock) -> Signal:
    """Lub-dub through the chest wall: two valves, the second shorter and higher."""
    mix = 0.01 * noise(rng, clock, band(20, 120))
    at = 0.1
    while at < clock.seconds - 0.1:
        for delay, pitch, decay, level in ((0, 44, 0.055, 1.0), (0.31, 58, 0.035, 0.7)):
            beat = clock.first(0.25)
            thump = tone(pitch * (1 + 0.5 * np.exp(-beat.t / 0.02)), beat, (1, 0.5, 0.25, 0.1))
            place(mix, level * thump * np.exp(-beat.t / decay) * np.minimum(1, beat.t / 0.008), at + delay, clock.rate)
        at += rng.normal(0.88, 0.02)
    return filtered(mix, clock.rate, band(15, 250))


def laser(rng: Generator, clock: Clock) -> Signal:
    """Toy ray-gun shots, each falling from a few kilohertz into the bass, with two echoes."""
    mix = np.zeros(clock.num)
    at = 0.02
    while at < clock.seconds - 0.4:
        shot = clock.first(rng.uniform(0.18, 0.32))
        fall = rng.uniform(3200, 5200) * np.exp(-shot.t / (shot.seconds / 4)) + 90
        zap = tone(fall, shot, 1 / np.arange(1, 9)) * (1 - shot.t / shot.seconds) ** 0.7
        for echo, level in ((0, 1.0), (0.11, 0.3), (0.22, 0.09)):
            place(mix, level * zap, at + echo, clock.rate)
        at += rng.uniform(0.28, 0.55)
    return mix


def clock_ticks(rng: Generator, clock: Clock) -> Signal:
    """A wall clock: tick and tock half a second apart, two different clicks in one wooden case."""
    case = [(rng.uniform(280, 340), 0.25, 0.03), (rng.uniform(600, 720), 0.2, 0.02)]
    wheel = ((1, 0.6), (1.63, 1), (2.41, 0.7), (3.9, 0.5))
    ticks = [[(pitch * ratio, level, 0.004 + 0.003 / ratio) for ratio, level in wheel] for pitch in (1750, 1450)]
    mix = 0.0006 * noise(rng, clock, band(100, 4000))
    for beat, at in enumerate(np.arange(0.12, clock.seconds - 0.05, 0.5)):
        place(mix, modes(rng, clock.first(0.2), ticks[beat % 2] + case), at, clock.rate)
        place(
            mix, 0.25 * modes(rng, clock.first(0.1), ticks[beat % 2]), at + 0.018, clock.rate
        )  # the pallet falls back
    return room(rng, mix, clock.rate, 0.12, 0.15)


def thunder(rng: Generator, clock: Clock) -> Signal:
    """A crack of many small bangs, then rumble that rolls away and loses its treble."""
    mix = np.zeros((clock.num, 2))
    for _ in range(60):
        bang = clock.first(0.12)
        burst = noise(rng, bang, band(80, rng.uniform(800, 5000))) * np.exp(-bang.t / rng.uniform(0.004, 0.03))
        place(mix, rng.lognormal(-1, 0.6) * burst, 0.25 + rng.gamma(1.3, 0.16), clock.rate, rng.uniform(0.25, 0.75))
    since = np.maximum(clock.t - 0.3, 0)
    onset = 1 - np.exp(-since / 0.15)
    for top, decay, level in ((60, 3.2, 1.0), (140, 2.2, 0.7), (350, 1.2, 0.4)):
        for side in range(2):
            roll = np.exp(0.8 * wander(rng, clock, 1.6))
            mix[:, side] += level * onset * roll * np.exp(-since / decay) * noise(rng, clock, band(22, top))
    return np.tanh(mix / 2.5) * np.minimum(1, (clock.seconds - clock.t) / 0.5)[:, None]


def sea(rng: Generator, clock: Clock) -> Signal:
    """Waves that swell, break with a hiss, and run back over the sand."""
    surf, foam = np.zeros(clock.num), np.zeros(clock.num)
    for at in np.arange(-1.5, clock.seconds, 4.6) + rng.uniform(-0.5, 0.5):
        late = clock.t - at - 2.0
        surf += np.where(late < 0, np.exp(late / 0.8), np.exp(-late / 1.3))
        foam += np.where(late < 0, np.exp(late / 0.25), (1 + late) * np.exp(-late / 0.8)) * rng.uniform(0.7, 1)
    mix = np.empty((clock.num, 2))
    for side in range(2):
        mix[:, side] = (0.1 + surf) * noise(rng, clock, band(50, 500)) + 0.8 * foam * noise(rng, clock, band(900, 6000))
    return mix


def strings(rng: Generator, clock: Clock) -> Signal:
    """A strummed guitar chord, then its notes one by one: stiff strings, plucked a fifth of the way along."""
    chord = np.array([82.41, 123.47, 164.81, 207.65, 246.94, 329.63]) * 2 ** (rng.integers(0, 6) / 12)
    mix = np.zeros((clock.num, 2))
    k = np.arange(1, 33)
    strum = [(0.05 + 0.028 * i, i) for i in range(6)]
    picked = [(1.8 + 0.33 * n, i) for n, i in enumerate((0, 2, 3, 4, 5, 4, 3, 2))]
    for at, i in strum + picked:
        pitches = chord[i] * k * np.sqrt(1 + 7e-5 * k**2)
        levels = np.sin(np.pi * k * 0.2) / k**1.4
        string = modes(rng, clock.first(2.2), zip(pitches, levels, 1.1 / (1 + 0.16 * k), strict=True))
        place(mix, string, at, clock.rate, 0.35 + 0.06 * i)
    return room(rng, mix, clock.rate, 0.2, 0.15)


def applause(rng: Generator, clock: Clock) -> Signal:
    """A hall of people who clap, each at a pace and with hands of their own; they start and tire one after another."""
    mix = np.zeros((clock.num, 2))
    for _ in range(45):
        hands, pace, pan = clock.first(0.03), rng.uniform(0.2, 0.3), rng.random()
        pitch, loud = rng.uniform(700, 1900), rng.lognormal(-0.5, 0.5)
        clap = noise(rng, hands, band(pitch, 1.8 * pitch)) * np.exp(-hands.t / rng.uniform(0.003, 0.007))
        at, end = rng.gamma(2, 0.25), clock.seconds - rng.gamma(2, 0.4)
        while at < end:
            place(mix, clap * loud * rng.uniform(0.7, 1), at, clock.rate, pan)
            at += pace * rng.normal(1, 0.06)
    return room(rng, mix, clock.rate, 0.45, 0.4)


def drip(rng: Generator, clock: Clock) -> Signal:
    """A drop falls into a pool in a cave: a small splash, then a bubble that rings higher as it shrinks."""
    mix = np.zeros(clock.num)
    bubble = clock.first(0.15)
    ring = tone(rng.uniform(650, 900) * (1 + 12 * bubble.t), bubble) * np.exp(-bubble.t / 0.035)
    place(mix, 0.3 * noise(rng, bubble, band(2000, 7000)) * np.exp(-bubble.t / 0.004), 0.05, clock.rate)
    place(mix, ring * np.minimum(1, bubble.t / 0.003), 0.075, clock.rate)
    return room(rng, mix, clock.rate, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class DemoSound:
    """One entry of the library: how it is made, called and filed."""

    make: Callable[[Generator, Clock], Signal]
    caption: str
    category: str

    seconds: float
    """Length of the first variation; later ones are up to a quarter shorter."""

    rate: int
    """Hz."""

    file: str
    """File extension and libsndfile subtype."""

    peak: float
    """Largest absolute sample; collections are not level."""


DEMO_SOUNDS = {
    "engine": DemoSound(engine, "a car engine idles and revs up twice", "vehicle", 8, 44100, "flac PCM_16", 0.8),
    "rain": DemoSound(rain, "steady rain falls on a tin roof", "weather", 10, 48000, "flac PCM_24", 0.5),
    "bell": DemoSound(bell, "a church bell rings slowly", "bell", 9, 44100, "wav PCM_24", 0.8),
    "siren": DemoSound(siren, "an emergency siren wails between houses", "alarm", 8, 16000, "wav PCM_16", 0.7),
    "footsteps": DemoSound(footsteps, "someone walks on gravel", "human", 6, 32000, "flac PCM_16", 0.8),
    "wind": DemoSound(wind, "wind gusts and whistles around a corner", "weather", 12, 44100, "ogg VORBIS", 0.6),
    "birds": DemoSound(birds, "birds chirp in a garden", "animal", 7, 96000, "flac PCM_24", 0.6),
    "heartbeat": DemoSound(heartbeat, "a human heart beats calmly", "human", 5, 8000, "wav PCM_16", 0.9),
    "laser": DemoSound(laser, "a toy laser gun fires several shots", "game", 2.5, 22050, "wav FLOAT", 0.8),
    "clock": DemoSound(clock_ticks, "a wall clock ticks", "household", 4, 44100, "flac PCM_16", 0.4),
    "thunder": DemoSound(thunder, "thunder cracks and rolls away", "weather", 9, 48000, "wav PCM_16", 0.95),
    "sea": DemoSound(sea, "waves break on a sandy beach", "water", 12, 32000, "ogg VORBIS", 0.6),
    "strings": DemoSound(strings, "a guitar chord, strummed and then picked", "music", 6, 48000, "flac PCM_16", 0.7),
    "applause": DemoSound(applause, "an audience claps in a hall", "human", 5, 44100, "flac PCM_16", 0.7),
    "drip": DemoSound(drip, "a drop falls into a cave pool", "water", 1, 44100, "wav PCM_16", 0.6),
}


def synthesise(name: str, *, variation: int = 0, seed: int = 0) -> tuple[NDArray[np.float32], int]:
    """Make one sound of `DEMO_SOUNDS`.

    Returns:
        Samples, float32 [num] or [num, 2] with the entry's peak, and the sample rate in Hz.
    """
    sound = DEMO_SOUNDS[name]
    rng = np.random.default_rng([seed, variation, zlib.crc32(name.encode())])
    stretch = rng.uniform(0.75, 1) if variation else 1.0
    clock = Clock(sound.rate, round(sound.seconds * stretch * sound.rate))
    signal = sound.make(rng, clock)
    fade = np.minimum(1, np.minimum(clock.t, clock.t[::-1]) / 0.005)
    signal = signal * (fade if signal.ndim == 1 else fade[:, None])
    return (signal * (sound.peak / np.abs(signal).max())).astype(np.float32), sound.rate


def write_demo_sounds(folder: Path, *, variations: int = 1, seed: int = 0) -> Path:
    """Write the library: one FLAC, WAV or Ogg Vorbis file per sound and variation, and a manifest.

    Args:
        folder: created if missing; files of the same names are replaced.
        variations: files per sound; each has its own random details and length.
        seed: another seed, other details. Equal arguments give equal samples.

    Returns:
        The path of `captions.csv` in the folder, with the columns path (relative), caption and category.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "captions.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "caption", "category"))
        for variation in range(variations):
            for name, sound in DEMO_SOUNDS.items():
                suffix, subtype = sound.file.split()
                path = folder / f"{name}{f'_{variation + 1}' if variations > 1 else ''}.{suffix}"
                samples, rate = synthesise(name, variation=variation, seed=seed)
                soundfile.write(path, samples, rate, subtype=subtype)
                rows.writerow((path.name, sound.caption, sound.category))
    return manifest
