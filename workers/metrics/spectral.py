"""Distances between magnitude spectra: 0 where the clips are equal, and blind to phase."""

import math

import numpy as np
from numpy.typing import NDArray

from workers.metrics.framing import Framing, power_spectra
from workers.metrics.mel_bands import MelBands, mel_bands
from workers.metrics.outcome import Score
from workers.metrics.pair import Pair

LSD_FRAMING = Framing(n_fft=2048, win_length=2048, hop_length=512, margin=1024)
LSD_FLOOR = 1e-10

MEL_FRAMING = Framing(n_fft=1024, win_length=1024, hop_length=256, margin=384, fill_last=True)
NUM_MELS = 80
MEL_FLOOR = 1e-5

MRSTFT_FRAMINGS = (
    Framing(n_fft=1024, win_length=600, hop_length=120, margin=512),
    Framing(n_fft=2048, win_length=1200, hop_length=240, margin=1024),
    Framing(n_fft=512, win_length=240, hop_length=50, margin=256),
)
MRSTFT_FLOOR = 1e-8


def lsd(pair: Pair) -> Score:
    """Log-spectral distance, in decades of power: the root mean square over bins, averaged over frames.

    mean over t of sqrt(mean over f of log10((Px + 1e-10) / (Py + 1e-10))²), P = |X|² of 2048 samples every 512. Gray
    and Markel, https://doi.org/10.1109/TASSP.1976.1162849, with a floor that defines it for silence too. It takes 1025
    samples.
    """
    if obstacle := pair.obstacle(min_samples=LSD_FRAMING.min_samples, reference_sounds=False, degraded_sounds=False):
        return Score.undefined(obstacle)
    roots = []
    for power in power_spectra(_both(pair), LSD_FRAMING):
        power += LSD_FLOOR
        distance = _log_ratio(power)
        distance *= 1.0 / math.log(10.0)
        np.square(distance, out=distance)
        roots.append(np.sqrt(distance.mean(axis=1)))
    return Score.of(float(np.concatenate(roots).mean()))


def log_mel_l1(pair: Pair) -> Score:
    """Mean absolute difference of log-mel spectrograms, in decades of power: |Δ log10(1e-5 + mel)|.

    80 triangular HTK bands of height 1 up to half the sample rate, of |X|² of 1024 samples every 256, as AudioCraft's
    `MelSpectrogramL1Loss` has them by default; Défossez et al., https://doi.org/10.48550/arXiv.2210.13438, train on
    several of its kind. The floor defines it for silence too. It takes 385 samples.

    Raises:
        ValueError: The sample rate is so high that a band holds no bin.
    """
    if obstacle := pair.obstacle(min_samples=MEL_FRAMING.min_samples, reference_sounds=False, degraded_sounds=False):
        return Score.undefined(obstacle)
    bands = _mel_bands(pair.sample_rate)
    total = 0.0
    for power in power_spectra(_both(pair), MEL_FRAMING):
        mel = bands.of(power)  # [2, frames, n_mels]
        mel += MEL_FLOOR
        total += float(np.abs(_log_ratio(mel)).sum())
    num_values = MEL_FRAMING.num_frames(pair.num_samples) * NUM_MELS
    return Score.of(total / num_values / math.log(10.0))


def mrstft(pair: Pair) -> Score:
    """Multi-resolution STFT distance: spectral convergence + L1 of ln magnitudes, averaged over three resolutions.

    Yamamoto et al., https://doi.org/10.1109/ICASSP40776.2020.9053795, as `MultiResolutionSTFTLoss` of auraloss 0.4.0
    has it by default, for one clip: ‖|X| - |Y|‖ / ‖|X|‖ + mean |ln(|X| / |Y|)|, |X|² raised to 1e-8. Undefined where
    the reference is silent: only that floor, which says nothing of the clips, keeps the convergence from a division by
    zero. It takes 1025 samples.
    """
    min_samples = max(framing.min_samples for framing in MRSTFT_FRAMINGS)
    if obstacle := pair.obstacle(min_samples=min_samples, reference_sounds=True, degraded_sounds=False):
        return Score.undefined(obstacle)
    clips = _both(pair)
    return Score.of(math.fsum(_stft_distance(clips, framing) for framing in MRSTFT_FRAMINGS) / len(MRSTFT_FRAMINGS))


def _stft_distance(clips: NDArray[np.float64], framing: Framing) -> float:
    error = energy = logarithms = 0.0
    for power in power_spectra(clips, framing):
        np.maximum(power, MRSTFT_FLOOR, out=power)
        logarithms += float(np.abs(_log_ratio(power)).sum())
        energy += float(power[0].sum())
        magnitude = np.sqrt(power, out=power)
        magnitude[0] -= magnitude[1]
        error += float(np.square(magnitude[0], out=magnitude[0]).sum())
    num_values = framing.num_frames(clips.shape[1]) * (framing.n_fft // 2 + 1)
    return math.sqrt(error / energy) + 0.5 * logarithms / num_values  # 0.5: of magnitudes, not powers


def _both(pair: Pair) -> NDArray[np.float64]:
    """[2, T]."""
    return np.stack([pair.reference, pair.degraded])


def _log_ratio(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln(reference / degraded) of positive values [2, ...]: one logarithm where a difference takes two."""
    ratio: NDArray[np.float64] = values[0] / values[1]
    np.log(ratio, out=ratio)
    return ratio


def _mel_bands(sample_rate: int) -> MelBands:
    try:
        return mel_bands(sample_rate=sample_rate, n_fft=MEL_FRAMING.n_fft, n_mels=NUM_MELS)
    except ValueError as error:
        raise ValueError(
            f"log_mel_l1 is not defined at {sample_rate} Hz, where a mel band has no bin: resample to at most 48000 Hz"
        ) from error
