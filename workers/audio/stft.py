"""Short-time Fourier transform and its inverse, with everything that does not depend on the waveform computed once."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from workers.audio.stft_spec import StftSpec

# Below this share of the window's energy a sample is not covered by the frames; torch.istft's bound.
_LEAST_COVER = 1e-11


class Stft:
    """The transform of waveforms of one length, on one device.

    Works on *extended* signals [B, L]: the waveform with its reflected margins, in the length of whole hops.

        |--before--|<------ waveform, num_samples ------>|--after--| unused |
        |---hop---|---hop---|---hop---|  ...                      |---hop---|

    Args:
        spec: The transform.
        num_frames: Frames T.
        num_samples: Samples N of the waveform; has `num_frames` frames.
        device: Where it computes.

    Raises:
        ValueError: A waveform of `num_samples` has another number of frames.
    """

    def __init__(self, spec: StftSpec, num_frames: int, num_samples: int, device: torch.device) -> None:
        if num_frames < 1 or num_samples < 1 or spec.num_frames(num_samples) != num_frames:
            raise ValueError(
                f"{num_samples} samples have {spec.num_frames(max(0, num_samples))} frames of n_fft {spec.n_fft} at "
                f"hop_length {spec.hop_length} ({spec.framing}), not {num_frames}: num_samples must be in "
                f"[{max(1, spec.num_samples(num_frames))}, {spec.num_samples(num_frames + 1) - 1}]"
            )
        self.spec, self.num_frames, self.num_samples = spec, num_frames, num_samples
        self.window = _window(spec).to(device)
        before, hop = spec.samples_before, spec.hop_length
        covered = spec.n_fft + (num_frames - 1) * hop
        self.num_hops = -(-max(covered, before + num_samples) // hop)
        self._waveform = slice(before, before + num_samples)
        self._before = _reflected(torch.arange(-before, 0), num_samples).to(device) + before
        after = torch.arange(num_samples, max(num_samples, covered - before))
        self._after = _reflected(after, num_samples).to(device) + before
        cover = torch.zeros(1, self.num_hops, hop, device=device)
        self.overlap_add(self.window.expand(1, num_frames, -1), cover)
        cover = cover.flatten(1)
        self._gain = torch.where(cover > _LEAST_COVER, cover.reciprocal(), 0.0)

    def analyse(self, waveform: Tensor) -> Tensor:
        """Waveform float32 [B, N] to spectrum complex64 [B, T, F]."""
        signal = waveform.new_zeros(len(waveform), self.num_hops * self.spec.hop_length)
        signal[:, self._waveform] = waveform
        self.reflect(signal)
        spectrum: Tensor = torch.fft.rfft(self.frames(signal) * self.window)
        return spectrum

    def synthesise(self, spectrum: Tensor) -> Tensor:
        """The waveform whose spectrum is nearest in least squares: complex64 [B, T, F] to float32 [B, N]."""
        hops = self.window.new_zeros(len(spectrum), self.num_hops, self.spec.hop_length)
        self.overlap_add(torch.fft.irfft(spectrum, n=self.spec.n_fft), hops)
        return self.waveform(self.normalise(hops))

    def frames(self, signal: Tensor) -> Tensor:
        """Overlapping view [B, T, n_fft] of an extended signal."""
        return signal.unfold(-1, self.spec.n_fft, self.spec.hop_length)[:, : self.num_frames]

    def overlap_add(self, frames: Tensor, hops: Tensor, first_frame: int = 0) -> None:
        """Window frames [B, T', n_fft] and add them to `hops` [B, num_hops, hop_length], the first at `first_frame`.

        Frame i covers hops i, i + 1, …; so the frames' k-th hops lie side by side, and each k is one addition:

            hops      |    0    |    1    |    2    |    3    |
            frame 0   |  k = 0  |  k = 1  | k=2 |
            frame 1             |  k = 0  |  k = 1  | k=2 |
        """
        hop = self.spec.hop_length
        for k, begin in enumerate(range(0, self.spec.n_fft, hop)):
            part = slice(begin, min(begin + hop, self.spec.n_fft))
            into = hops[:, first_frame + k : first_frame + k + frames.shape[1], : part.stop - part.start]
            into.addcmul_(frames[:, :, part], self.window[part])

    def normalise(self, hops: Tensor, out: Tensor | None = None) -> Tensor:
        """Divide what `overlap_add` summed by the windows' energy: an extended signal [B, L] with margins as summed."""
        return torch.mul(hops.flatten(1), self._gain, out=out)

    def reflect(self, signal: Tensor) -> None:
        """Write the margins of extended signals [B, L] anew, from the waveform between them."""
        signal[:, : len(self._before)] = signal[:, self._before]
        signal[:, self._waveform.stop : self._waveform.stop + len(self._after)] = signal[:, self._after]

    def waveform(self, signal: Tensor) -> Tensor:
        """The view [B, N] of extended signals that is the waveform."""
        return signal[:, self._waveform]


@lru_cache(maxsize=16)
def stft_of(spec: StftSpec, num_frames: int, num_samples: int, device: torch.device) -> Stft:
    """The transform for waveforms of this length, kept for the next call."""
    return Stft(spec, num_frames, num_samples, device)


def _window(spec: StftSpec) -> Tensor:
    """Window float32 [n_fft]."""
    shapes = {"hann": torch.hann_window, "hamming": torch.hamming_window, "blackman": torch.blackman_window}
    window = shapes[spec.window](spec.win_length, periodic=True, dtype=torch.float64)
    margin = spec.n_fft - spec.win_length
    return functional.pad(window, (margin // 2, margin - margin // 2)).float()


def _reflected(index: Tensor, length: int) -> Tensor:
    """Where samples beyond the ends come from: reflected at the ends without repeating them, as often as needed."""
    if length == 1:
        return torch.zeros_like(index)
    period = 2 * (length - 1)
    folded = index.remainder(period)
    return torch.minimum(folded, period - folded)
