"""Recordings to measure with: made once per run, the same for every contestant."""

import os
from pathlib import Path

import numpy as np
import soundfile

DISTINCT = 256


def write_recordings(
    folder: Path, count: int, *, seconds: float, sample_rate: int, channels: int, extension: str = "flac"
) -> Path:
    """Writes `count` files of coloured noise with decaying tones, so that compressed formats have something to do.

    At most DISTINCT of them differ, the others are links to those: they stay in the page cache, and the disk is not
    what is measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    for index in range(DISTINCT, count):
        os.symlink(f"{index % DISTINCT:06d}.{extension}", folder / f"{index:06d}.{extension}")
    for index in range(min(count, DISTINCT)):
        noise = np.cumsum(rng.standard_normal((len(time), channels)), axis=0)
        noise = 0.1 * noise / np.abs(noise).max()
        tone = 0.3 * np.sin(2 * np.pi * rng.uniform(60, 4000) * time) * np.exp(-time * rng.uniform(0.2, 3))
        soundfile.write(folder / f"{index:06d}.{extension}", noise + tone[:, None], sample_rate, subtype="PCM_16")
    return folder
