"""Mean, peak and loudness of clips that are padded to one length.

A clip's padding is zero and stays zero, and nothing about a clip depends on its padding or on its neighbours.
"""

import torch
from torch import Tensor

from workers.audio.loudness import integrated_loudness

# Added to the peak before dividing, as AudioLDM's normalize_wav does: silence stays silence.
_PEAK_EPSILON = 1e-8
# Samples are summed as integers, a coarse and a fine part, so that the sum is exact and does not depend on its order.
_COARSE = 2.0**-20
_FINE = 2.0**-44


def remove_mean(waveform: Tensor, num_samples: Tensor) -> Tensor:
    """Subtract each channel's mean over its true length.

    Args:
        waveform: float64 [B, C, T], zero from `num_samples` on; |samples| up to 2¹⁵.
        num_samples: int64 [B], true lengths in samples.

    Returns:
        float64 [B, C, T].
    """
    coarse = (waveform / _COARSE).round_()
    fine = ((waveform - coarse * _COARSE) / _FINE).round_()
    total = _integer_sum(coarse) * _COARSE + _integer_sum(fine) * _FINE  # [B, C, 1]
    mean = total / num_samples.clamp(min=1).view(-1, 1, 1)
    inside = torch.arange(waveform.shape[-1], device=waveform.device) < num_samples.view(-1, 1, 1)
    return waveform - mean * inside


def scale_to_peak(waveform: Tensor, peak: float) -> Tensor:
    """Scale each clip so that its largest absolute sample over all channels is `peak`.

    Args:
        waveform: float64 [B, C, T].
        peak: Target, linear.

    Returns:
        float64 [B, C, T]; a silent clip stays silent.
    """
    largest = waveform.abs().amax(dim=(1, 2), keepdim=True)
    return waveform / (largest + _PEAK_EPSILON) * peak


def scale_to_loudness(waveform: Tensor, num_samples: Tensor, sample_rate: int, loudness_lufs: float) -> Tensor:
    """Scale each clip to an integrated loudness; peaks are not limited.

    Args:
        waveform: float64 [B, C, T], zero from `num_samples` on.
        num_samples: int64 [B], true lengths in samples.
        sample_rate: Hz.
        loudness_lufs: Target.

    Returns:
        float64 [B, C, T]; a clip below BS.1770's absolute gate (-70 LUFS) is left as it is.
    """
    measured = integrated_loudness(waveform, num_samples, sample_rate)
    gain = torch.where(measured.isfinite(), 10.0 ** ((loudness_lufs - measured) / 20.0), 1.0)
    return waveform * gain.view(-1, 1, 1)


def _integer_sum(values: Tensor) -> Tensor:
    return values.to(torch.int64).sum(-1, keepdim=True).to(torch.float64)
