"""Power spectra of two clips, frame by frame, in blocks that stay in the processor's cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

BLOCK_SAMPLES = 1 << 15
"""Samples of either clip's frames in a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """Where frames lie, and their window.

        reflected margin |<------------- num_samples ------------->| reflected margin | zeros, if `fill_last`
            . . . . . . .|---hop---|---hop---|---hop---|---hop---|-|. . . . . . . 0 0 0
            [===== frame 0 (n_fft) =====]
                      [===== frame 1 (n_fft) =====]

    A margin of half `n_fft` centres frame i on sample i·hop_length.
    """

    n_fft: int
    """Length of the Fourier transform, samples."""

    win_length: int
    """Length of the periodic Hann window, centred in the frame, samples."""

    hop_length: int
    """Distance between frames, samples."""

    margin: int
    """Samples on each side that the clip is extended by, reflected without repeating its ends."""

    fill_last: bool = False
    """Whether zeros complete a last frame; otherwise samples behind the last whole frame are left out."""

    @property
    def min_samples(self) -> int:
        """Fewest samples that can be reflected and give a frame."""
        return max(self.margin + 1, 1 if self.fill_last else self.n_fft - 2 * self.margin)

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip of at least `min_samples`."""
        beyond_first = num_samples + 2 * self.margin - self.n_fft
        return 1 + (-(-max(0, beyond_first) // self.hop_length) if self.fill_last else beyond_first // self.hop_length)


def power_spectra(clips: NDArray[np.float64], framing: Framing) -> Iterator[NDArray[np.float64]]:
    """Squared magnitudes |X|² of a few clips side by side, in blocks of consecutive frames.

    Where a block ends depends on the framing alone, and its transforms run in one call of torch: a clip has the same
    bits for any number of threads.

    Args:
        clips: [K, T] with T at least `framing.min_samples`.
        framing: The transform.

    Yields:
        [K, frames, n_fft // 2 + 1], the caller's to change.
    """
    num_frames = framing.num_frames(clips.shape[1])
    # A window shorter than the transform: the same magnitudes come of its samples alone, with zeros behind them.
    frames = _frames(_extended(clips, framing), framing)[:, :num_frames]
    window = _window(framing.win_length)
    block = max(1, BLOCK_SAMPLES // framing.n_fft)
    for begin in range(0, num_frames, block):
        windowed = frames[:, begin : begin + block] * window
        spectrum = torch.fft.rfft(torch.from_numpy(windowed), n=framing.n_fft).numpy()
        parts = spectrum.view(np.float64)  # real and imaginary in turns
        np.square(parts, out=parts)
        yield parts[..., 0::2] + parts[..., 1::2]


def _extended(clips: NDArray[np.float64], framing: Framing) -> NDArray[np.float64]:
    """[K, T + 2·margin + zeros]."""
    margin, (num_clips, length) = framing.margin, clips.shape
    covered = framing.n_fft + (framing.num_frames(length) - 1) * framing.hop_length
    missing = max(0, covered - (length + 2 * margin))
    before = clips[:, margin:0:-1]
    after = clips[:, length - 2 : length - 2 - margin : -1] if margin < length - 1 else clips[:, -2::-1]
    return np.concatenate([before, clips, after, np.zeros((num_clips, missing))], axis=1)


def _frames(extended: NDArray[np.float64], framing: Framing) -> NDArray[np.float64]:
    """What the window covers of every frame, a view [K, frames, win_length]."""
    offset = (framing.n_fft - framing.win_length) // 2
    windows = np.lib.stride_tricks.sliding_window_view(extended[:, offset:], framing.win_length, axis=1)
    return windows[:, :: framing.hop_length]


@lru_cache(maxsize=16)
def _window(win_length: int) -> NDArray[np.float64]:
    """Periodic Hann window."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(win_length) / win_length)
    window.flags.writeable = False
    return window
