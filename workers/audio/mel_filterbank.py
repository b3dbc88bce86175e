"""Triangular mel filters."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workers.audio.mel_spec import MelSpec

# Slaney's Auditory Toolbox (Interval Technical Report 1998-010): linear below 1 kHz, then 27 steps per factor 6.4.
_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_BREAK_MEL = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


def mel_filterbank(
    *,
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    f_min_hz: float,
    f_max_hz: float,
    scale: Literal["slaney", "htk"],
    norm: Literal["slaney", "none"],
) -> NDArray[np.float64]:
    """Weights that sum a spectrum's bins into mel bands, as `librosa.filters.mel` but in float64 and transposed.

    Returns:
        float64 [n_fft // 2 + 1, n_mels], non-negative.

    Raises:
        ValueError: A band is so narrow that it holds no bin and would always be empty.
    """
    bin_hz = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    low, high = hz_to_mel(np.array([f_min_hz, f_max_hz]), scale)
    edge_hz = mel_to_hz(np.linspace(low, high, n_mels + 2), scale)

    # Band m rises from edge m to edge m+1 and falls to edge m+2.
    width_hz = np.diff(edge_hz)
    distance_hz = bin_hz[:, None] - edge_hz[None, :]  # [bins, n_mels + 2]
    rising = distance_hz[:, :-2] / width_hz[:-1]
    falling = -distance_hz[:, 2:] / width_hz[1:]
    weights = np.maximum(0.0, np.minimum(rising, falling))
    empty = np.flatnonzero(weights.max(axis=0) == 0.0)
    if empty.size:
        raise ValueError(
            f"mel band {empty[0]} of {n_mels} lies between two bins of n_fft {n_fft} and would always be empty: "
            "lower n_mels or raise n_fft"
        )
    if norm == "slaney":
        weights *= 2.0 / (edge_hz[2:] - edge_hz[:-2])
    return np.ascontiguousarray(weights)


def filterbank_of(spec: MelSpec) -> NDArray[np.float64]:
    """The filters of a front end: float64 [n_fft // 2 + 1, n_mels]."""
    return mel_filterbank(
        sample_rate=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        f_min_hz=spec.f_min_hz,
        f_max_hz=spec.f_max_hz,
        scale=spec.mel_scale,
        norm=spec.mel_norm,
    )


def hz_to_mel(frequency_hz: NDArray[np.float64], scale: Literal["slaney", "htk"]) -> NDArray[np.float64]:
    """Frequencies in Hz to mels."""
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + frequency_hz / 700.0)
    above = np.maximum(frequency_hz, _SLANEY_BREAK_HZ)  # keeps the logarithm defined at 0 Hz
    return np.where(
        frequency_hz < _SLANEY_BREAK_HZ,
        frequency_hz / _SLANEY_HZ_PER_MEL,
        _SLANEY_BREAK_MEL + np.log(above / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP,
    )


def mel_to_hz(mel: NDArray[np.float64], scale: Literal["slaney", "htk"]) -> NDArray[np.float64]:
    """Mels to frequencies in Hz, the inverse of `hz_to_mel`."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return np.where(
        mel < _SLANEY_BREAK_MEL,
        mel * _SLANEY_HZ_PER_MEL,
        _SLANEY_BREAK_HZ * np.exp((mel - _SLANEY_BREAK_MEL) * _SLANEY_LOG_STEP),
    )
