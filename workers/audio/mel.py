"""Log-mel spectrograms, exact to float32 and the same for a clip alone and in a batch."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from workers.audio.level import remove_mean, scale_to_loudness, scale_to_peak
from workers.audio.mel_filterbank import filterbank_of
from workers.audio.mel_spec import MelSpec


def mel_spectrogram(waveform: Tensor, spec: MelSpec, num_samples: Tensor | None = None) -> Tensor:
    """Compute mel spectrograms on the waveform's device.

    Everything up to the logarithm runs in float64: the clamp at `spec.floor` sits far below float32's resolution of a
    loud frame, and there a float32 transform is off by whole nepers, not by 1e-5.

    Args:
        waveform: float32 or float64 [B, C, T] in about [-1, 1], at `spec.sample_rate`; zero from `num_samples` on.
        spec: The front end.
        num_samples: int64 [B], true lengths in samples, for the level policy; T where None.

    Returns:
        float32 [B, C, n_mels, frames], frames = T // hop_length; each clip bit for bit as if computed alone (on a
        GPU: for equal B).

    Raises:
        ValueError: A shape is wrong, or T is too short for a frame.
    """
    if waveform.ndim != 3:
        raise ValueError(f"expected a waveform [B, C, T], got shape {list(waveform.shape)}")
    num_clips, num_channels, length = waveform.shape
    if num_samples is not None and num_samples.shape != (num_clips,):
        raise ValueError(f"expected num_samples of shape [{num_clips}], got {list(num_samples.shape)}")
    num_frames = spec.num_frames(length)

    levelled = set_level(waveform.to(torch.float64), spec, num_samples)
    before = (spec.n_fft - spec.hop_length) // 2
    after = spec.n_fft - spec.hop_length - before
    rows = functional.pad(levelled, (before, after), mode="reflect").flatten(0, 1)  # [B*C, T + n_fft - hop]

    window, filters = _window_and_filters(spec, waveform.device)
    mel = torch.empty((len(rows), spec.n_mels, num_frames), dtype=torch.float32, device=waveform.device)
    # On a CPU, one row at a time: the working set stays in the cache, and no library routine sees the batch size.
    # A GPU takes all rows at once, to be busy; callers there keep the batch size fixed.
    chunk = len(rows) if waveform.is_cuda else 1
    for out, row in zip(torch.split(mel, chunk), torch.split(rows, chunk), strict=True):
        out.copy_(_log_mel(row.unfold(-1, spec.n_fft, spec.hop_length)[:, :num_frames], window, filters, spec))
    return mel.view(num_clips, num_channels, spec.n_mels, num_frames)


def set_level(waveform: Tensor, spec: MelSpec, num_samples: Tensor | None) -> Tensor:
    """What the front end does to a waveform float64 [B, C, T] first: mean, peak and loudness, as the spec says."""
    if num_samples is None:
        num_samples = torch.full((len(waveform),), waveform.shape[-1], device=waveform.device)
    if spec.remove_mean:
        waveform = remove_mean(waveform, num_samples)
    if spec.peak is not None:
        waveform = scale_to_peak(waveform, spec.peak)
    if spec.loudness_lufs is not None:
        waveform = scale_to_loudness(waveform, num_samples, spec.sample_rate, spec.loudness_lufs)
    return waveform


def _log_mel(frames: Tensor, window: Tensor, filters: Tensor, spec: MelSpec) -> Tensor:
    """Frames float64 [rows, frames, n_fft] to log-mel float64 [rows, n_mels, frames]."""
    spectrum = torch.fft.rfft(frames * window)  # complex128 [rows, frames, bins]
    # Squares, sum and root are each rounded correctly, in vector code and in its scalar tail alike; abs() is not.
    bins = spectrum.real.square().add_(spectrum.imag.square())
    if spec.spectrum == "magnitude":
        bins.sqrt_()
    mel: Tensor = bins @ filters  # [rows, frames, n_mels]
    if spec.log != "none":
        mel.clamp_(min=spec.floor)
        mel = mel.log_() if spec.log == "ln" else mel.log10_()
    return mel.transpose(1, 2)


@lru_cache(maxsize=16)
def _window_and_filters(spec: MelSpec, device: torch.device) -> tuple[Tensor, Tensor]:
    """Hann window [n_fft] and mel filters [bins, n_mels], float64 on the device."""
    window = torch.hann_window(spec.win_length, periodic=True, dtype=torch.float64)
    margin = spec.n_fft - spec.win_length
    window = functional.pad(window, (margin // 2, margin - margin // 2))
    return window.to(device), torch.from_numpy(filterbank_of(spec)).to(device)
