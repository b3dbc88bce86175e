"""Channel policies: mono, stereo, or as in the file."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workers.audio.decode_spec import ChannelPolicy

_HALF_POWER = math.sqrt(0.5)

_STEREO_GAINS: dict[str, tuple[float, float]] = {
    "FL": (1.0, 0.0),
    "FR": (0.0, 1.0),
    "FC": (_HALF_POWER, _HALF_POWER),
    "LFE": (0.0, 0.0),
    "BL": (_HALF_POWER, 0.0),
    "BR": (0.0, _HALF_POWER),
    "SL": (_HALF_POWER, 0.0),
    "SR": (0.0, _HALF_POWER),
    "BC": (0.5, 0.5),
    "FLC": (1.0, 0.0),
    "FRC": (0.0, 1.0),
}
"""Left and right gain by FFmpeg's channel name: ITU-R BS.775-4, Annex 4 (3/2 to 2/0), without low-frequency effects."""


def mix(samples: NDArray[np.float32], policy: ChannelPolicy, names: Sequence[str] | None = None) -> NDArray[np.float32]:
    """Apply a channel policy.

    Args:
        samples: float32 [num, channels].
        policy: `mono` is the mean of all channels. `stereo` duplicates mono, keeps stereo, and downmixes more channels
            by ITU-R BS.775, scaled so that full-scale channels cannot clip; where a channel's place is unknown it takes
            the first two channels. `keep` changes nothing.
        names: FFmpeg's channel names (`FL`, `FR`, `FC`, `LFE`…) in order, as far as known; only a downmix reads them.

    Returns:
        float32 [num, 1], [num, 2], or the samples themselves.
    """
    channels = samples.shape[1]
    if policy == "keep" or (policy == "mono" and channels == 1) or (policy == "stereo" and channels == 2):
        return samples
    if policy == "mono":
        total = (
            samples[:, 0] + samples[:, 1]
        )  # one after the other: a BLAS product rounds differently on other machines
        for channel in range(2, channels):
            total += samples[:, channel]
        total *= np.float32(1 / channels)
        return total[:, None]
    if channels == 1:
        return np.repeat(samples, 2, axis=1)
    if names is None or any(name not in _STEREO_GAINS for name in names):
        return samples[:, :2]
    gains = np.array([_STEREO_GAINS[name] for name in names], np.float32)
    gains /= max(1.0, gains.sum(axis=0).max())
    mixed = np.zeros((len(samples), 2), np.float32)
    for channel, gain in enumerate(gains):
        mixed += samples[:, channel, None] * gain
    return mixed
