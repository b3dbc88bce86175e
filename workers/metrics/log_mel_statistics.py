"""A clip's embedding that needs no weights: what its log-mel spectrogram is like on average."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.embedding import Embedding
from workers.metrics.framing import Framing, power_spectra
from workers.metrics.log_mel_statistics_spec import NUM_MELS, LogMelStatisticsSpec
from workers.metrics.mel_bands import MelBands, mel_bands

FRAMING: Final = Framing(n_fft=1024, win_length=1024, hop_length=256, margin=0)
FLOOR: Final = 1e-10
"""Added to the bands, of which a full-scale sine fills one with about 1: silence is at -10 decades."""

DIMENSION: Final = LogMelStatisticsSpec().dimension
MIN_SAMPLES: Final = FRAMING.n_fft + FRAMING.hop_length
"""Two frames, the fewest that change."""


def log_mel_statistics(waveform: NDArray[np.floating[Any]], sample_rate: int) -> Embedding:
    """Mean, standard deviation and mean absolute step over time of each of 32 log-mel bands, d = 96.

    It tells spectra, levels and their changes apart and knows nothing of what sounds mean: distances in it find a
    broken generator and test the way from clips to metrics without a download. They are no FAD or KAD as published.

    Bands are triangles of height 1 on the HTK scale up to half the sample rate, of |X|² of 1024 samples every 256, over
    that of a full-scale sine; L = log10(1e-10 + band), in decades of power, has

        values[0:32]    mean over t of L[t]
        values[32:64]   standard deviation over t of L[t] (divided by the number of frames)
        values[64:96]   mean over t of |L[t + 1] - L[t]|

        |---hop---|---hop---|---hop---|---hop---|-- -|    no margins: what is behind the last whole frame is left out
        [====== frame 0 (n_fft) ======]
                  [====== frame 1 (n_fft) ======]

    Computed in float64, the same to the bit in any company and for any number of threads. Defined for silence. Bands
    move with the sample rate: resample the clips that are compared to one.

    Args:
        waveform: floating [T], about [-1, 1].
        sample_rate: Hz, up to 192 kHz.

    Returns:
        Values, or the status `nonfinite` where a sample is NaN, infinite or too large to be squared, `too_short` below
        1280 samples.

    Raises:
        TypeError: Samples are not floating.
        ValueError: The shape is not [T], or the sample rate so high that a band holds no bin.
    """
    if not np.issubdtype(waveform.dtype, np.floating):
        raise TypeError(f"the waveform has {waveform.dtype} samples: scale them to floating numbers in [-1, 1]")
    if waveform.ndim != 1:
        raise ValueError(f"the waveform has the shape {list(waveform.shape)}; expected [T], one channel")
    bands = _bands(sample_rate)
    if not np.isfinite(waveform).all():
        return Embedding(None, "nonfinite")
    if len(waveform) < MIN_SAMPLES:
        return Embedding(None, "too_short")
    with np.errstate(over="ignore", invalid="ignore"):  # float64 samples can be too large to be squared
        spectra = power_spectra(waveform[None].astype(np.float64), FRAMING)
        levels = np.log10(FLOOR + np.concatenate([bands.of(power[0]) for power in spectra]))  # [frames, n_mels]
        steps = np.abs(np.diff(levels, axis=0))
        values = np.concatenate([levels.mean(axis=0), levels.std(axis=0), steps.mean(axis=0)]).astype(np.float32)
    return Embedding(values, "ok") if np.isfinite(values).all() else Embedding(None, "nonfinite")


def _bands(sample_rate: int) -> MelBands:
    full_scale = (FRAMING.win_length / 4) ** 2  # |X|² of a sine of amplitude 1 under a Hann window
    try:
        return mel_bands(sample_rate=sample_rate, n_fft=FRAMING.n_fft, n_mels=NUM_MELS, full_scale=full_scale)
    except ValueError as error:
        raise ValueError(
            f"log-mel statistics are not defined at {sample_rate} Hz, where a mel band has no bin: resample to at most "
            "192000 Hz"
        ) from error
