"""Mel bands as sums over runs of bins.

A matrix product would do the same, but its last bits depend on how many threads BLAS has.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from workers.audio.mel_filterbank import mel_filterbank


@dataclass(frozen=True, slots=True, eq=False)
class MelBands:
    """Triangular HTK bands of height 1 up to half the sample rate."""

    bins: NDArray[np.intp]
    """Bins of band after band."""

    weights: NDArray[np.float64]
    """Of each of those."""

    starts: NDArray[np.intp]
    """Where among them each band starts, [n_mels]."""

    def of(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        """Power in the bands: [..., bins] to [..., n_mels]."""
        return np.add.reduceat(power[..., self.bins] * self.weights, self.starts, axis=-1)


@lru_cache(maxsize=32)
def mel_bands(*, sample_rate: int, n_fft: int, n_mels: int, full_scale: float = 1.0) -> MelBands:
    """The bands of a transform.

    Args:
        sample_rate: Hz.
        n_fft: Length of the transform, samples.
        n_mels: How many bands.
        full_scale: What powers are divided by.

    Raises:
        ValueError: A band holds no bin.
    """
    filters = mel_filterbank(
        sample_rate=sample_rate,
        n_fft=n_fft,
        n_mels=n_mels,
        f_min_hz=0.0,
        f_max_hz=sample_rate / 2,
        scale="htk",
        norm="none",
    )
    bands, bins = np.nonzero(filters.T)
    return MelBands(bins, filters[bins, bands] / full_scale, np.searchsorted(bands, np.arange(n_mels)))
