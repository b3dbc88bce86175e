"""Waveforms to FLAC."""

import io

import numpy as np
import soundfile
from numpy.typing import NDArray


def encode_flac(waveform: NDArray[np.float32], sample_rate: int) -> bytes:
    """Encode a waveform as 16-bit FLAC, the same bytes for the same samples and version of libsndfile.

    Args:
        waveform: float32 [C, T] in [-1, 1], finite; what lies beyond is clipped. T may be 0.
        sample_rate: Hz.
    """
    samples = np.clip(np.rint(waveform * 32_768.0), -32_768, 32_767).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, np.ascontiguousarray(samples.T), sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
