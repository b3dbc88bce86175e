"""Metrics of the waveforms themselves.

They follow every sample's phase: where a waveform was made anew from a spectrogram they are strongly negative although
it sounds alike. There they diagnose; they do not judge.
"""

import math

import numpy as np
from numpy.typing import NDArray

from workers.metrics.outcome import Score
from workers.metrics.pair import Pair, sum_of_squares


def snr_db(pair: Pair) -> Score:
    """Signal-to-noise ratio, 10·log10(Σx² / Σ(x - y)²) in dB, for reference x and degraded y; no mean is removed.

    Infinite where the clips are equal, 0 where the degraded clip is silent; undefined where the reference is.
    """
    if obstacle := pair.obstacle(min_samples=1, reference_sounds=True, degraded_sounds=False):
        return Score.undefined(obstacle)
    return _ratio_db(pair.reference_energy, sum_of_squares(pair.reference - pair.degraded))


def si_sdr_db(pair: Pair) -> Score:
    """Scale-invariant signal-to-distortion ratio in dB: 10·log10(‖a·x‖² / ‖a·x - y‖²) with a = ⟨x, y⟩ / ⟨x, x⟩.

    Le Roux et al., "SDR - half-baked or well done?", https://doi.org/10.1109/ICASSP.2019.8683855, without the removal
    of means. Infinite where the clips are proportional, -inf where they are orthogonal; undefined where either is
    silent.
    """
    if obstacle := pair.obstacle(min_samples=1, reference_sounds=True, degraded_sounds=True):
        return Score.undefined(obstacle)
    product = float((pair.reference * pair.degraded).sum())
    target = pair.reference * (product / pair.reference_energy)
    return _ratio_db(sum_of_squares(target), sum_of_squares(target - pair.degraded))


def correlation(pair: Pair) -> Score:
    """Pearson's correlation coefficient of the samples, in [-1, 1]; the sign tells an inverted polarity.

    https://doi.org/10.1098/rspl.1895.0041. Undefined for a single sample, and where a clip is constant: it counts as
    silent then, whatever its level.
    """
    if obstacle := pair.obstacle(min_samples=2, reference_sounds=True, degraded_sounds=True):
        return Score.undefined(obstacle)
    reference, reference_energy = _around_mean(pair.reference)
    degraded, degraded_energy = _around_mean(pair.degraded)
    if reference_energy == 0.0:
        return Score.undefined("silent_reference")
    if degraded_energy == 0.0:
        return Score.undefined("silent_degraded")
    product = float((reference * degraded).sum())
    # Two roots, since the product of the energies can leave the range of float64; rounding can leave [-1, 1].
    coefficient = product / math.sqrt(reference_energy) / math.sqrt(degraded_energy)
    return Score.of(max(-1.0, min(1.0, coefficient)))


def _around_mean(waveform: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The waveform less its mean, and the energy of that: exactly 0 for a constant, whose mean may be rounded."""
    if waveform.min() == waveform.max():
        return np.zeros_like(waveform), 0.0
    centred = waveform - waveform.mean()
    return centred, sum_of_squares(centred)


def _ratio_db(signal: float, noise: float) -> Score:
    """The difference of logarithms has a value where the ratio would leave the range of float64."""
    if noise == 0.0:
        return Score.of(math.inf)
    return Score.of(10.0 * (math.log10(signal) - math.log10(noise)) if signal > 0.0 else -math.inf)
