"""Phases for a magnitude spectrogram, from the magnitudes alone: phase-gradient heap integration, without the heap.

For a Gaussian window the logarithm of the magnitude determines both derivatives of the phase, and for other windows
nearly so (Průša, Balazs, Søndergaard, "A noniterative method for reconstruction of phase from STFT magnitude", 2017,
doi 10.1109/TASLP.2017.2678166). With L = ln |X[n, m]|, hop a, and γ of the window (its width squared):

    along time       from frame n - 1 to n:   a·m/n_fft + a/(2π·γ) · n_fft · ∂L/∂m    turns   (instantaneous frequency)
    along frequency  from bin m - 1 to m:              - γ/(2π·a·n_fft) · ∂L/∂n       turns   (group delay)

The two integrations contradict each other except where the magnitude is large, so the paper goes from large bins to
small ones, by a heap. Here each frame is integrated given the frame before it (the same authors' real-time variant:
Průša, Søndergaard, "Real-time spectrogram inversion using phase gradient heap integration", DAFx 2016), and there the
heap can be replaced by arithmetic on whole arrays, with the same result:

    frame n - 1   p[0]   p[1]   p[2]   p[3]        Each bin is reached from one bin of the frame before, by one step
                    |      |      |      |         along time and any number of steps along frequency. The heap takes
    frame n       s[0] - s[1] - s[2] - s[3]        the path whose smallest magnitude, m itself left out, is largest.

On one axis that is a recurrence, a[m] = max(p[m], min(a[m - 1], s[m - 1])) from below and likewise from above, which
doubles its reach in each of log2(bins) steps, for all frames at once. A steady sound then follows its partials along
time; an onset takes one bin along time and the others along frequency, which keeps its attack sharp. What remains of
the sequence is one gather and one addition per frame.

Measured on 142 recorded sounds (5 s at 16 kHz, n_fft 1024, hop 160): a spectral convergence of -18.6 dB in the median,
where random phases give -3 dB; with 2 iterations of Griffin-Lim more than random phases with 32.
"""

import math

import torch
from torch import Tensor

from workers.audio.stft_spec import StftSpec

# Magnitudes below this share of the loudest are float32's rounding errors.
_FLOOR = 1e-7
# Frames that a CPU integrates at once: their arrays stay in its second-level cache.
_FRAMES_AT_ONCE = 128


def phase_gradient_start(magnitude: Tensor, stft: StftSpec) -> Tensor:
    """Phases by phase-gradient integration.

    Args:
        magnitude: float32 [B, F, T], non-negative.
        stft: The transform that the magnitudes are of.

    Returns:
        complex64 [B, T, F] of modulus 1 (time first, as the transform computes it). Each row bit for bit as alone.
    """
    num_rows, num_bins, num_frames = magnitude.shape
    magnitude = magnitude.transpose(1, 2).contiguous()
    loudest = magnitude.amax((1, 2), keepdim=True)
    floor = loudest.where(loudest > 0, 1.0) * _FLOOR
    # Frames are integrated as if time were counted from their centres; a transform counts from their first samples.
    centre = _exact_turns(stft.n_fft // 2, num_bins, stft.n_fft, magnitude.device)
    factors = torch.empty(magnitude.shape, dtype=torch.complex64, device=magnitude.device)

    last = torch.zeros_like(magnitude[:, 0])  # the first frame: a reflected signal is even about its centre
    factors[:, 0] = _factors(centre)
    num_rows_at_once, num_at_once = (num_rows, num_frames) if magnitude.is_cuda else (1, _FRAMES_AT_ONCE)
    for begin in range(1, num_frames, num_at_once):
        end = min(begin + num_at_once, num_frames)
        turns = magnitude.new_empty(num_rows, end - begin, num_bins)
        source = torch.empty(turns.shape, dtype=torch.int64, device=magnitude.device)
        for row in range(0, num_rows, num_rows_at_once):
            rows = slice(row, row + num_rows_at_once)
            log = torch.add(magnitude[rows, begin - 1 : end + 1], floor[rows]).log_()
            _steps(log, stft, turns[rows], source[rows])
        for now, come_from in zip(turns.unbind(1), source.unbind(1), strict=True):
            now += torch.gather(last, 1, come_from)
            last = now
        for row in range(0, num_rows, num_rows_at_once):
            rows = slice(row, row + num_rows_at_once)
            factors[rows, begin:end] = _factors(turns[rows] + centre)
    return factors


def _steps(log: Tensor, stft: StftSpec, step: Tensor, source: Tensor) -> None:
    """What is added to which bin's phase in the frame before.

    Args:
        log: Logarithms of magnitudes [R, n + 2, F]: of the n frames, the one before and the one after; [R, n + 1, F] at
            the end of the recording.
        stft: The transform that the magnitudes are of.
        step: Gets the phase that is added, in turns [R, n, F].
        source: Gets the bins of the frame before [R, n, F].
    """
    num_frames, num_bins = step.shape[1:]
    before, now = log[:, :num_frames], log[:, 1 : num_frames + 1]
    squared_width = _gaussian_width(stft) / stft.n_fft
    _sources(before, now, source)

    # Derivatives are central differences, integrated by the trapezoidal rule: the factors of 1/2 are in the scale.
    room = torch.add(before, now)
    along_time = torch.zeros_like(room)
    torch.sub(room[:, :, 2:], room[:, :, :-2], out=along_time[:, :, 1:-1])
    along_time *= stft.hop_length / squared_width / (8.0 * math.pi)
    along_time += _exact_turns(stft.hop_length, num_bins, stft.n_fft, log.device)

    num_inner = log.shape[1] - 2
    room[:, num_inner:] = 0.0  # the last frame, where the end is reflected
    torch.sub(log[:, 2:], log[:, :num_inner], out=room[:, :num_inner])
    room *= -squared_width / stft.hop_length / (8.0 * math.pi)
    along_frequency = torch.zeros_like(room)
    torch.add(room[:, :, 1:], room[:, :, :-1], out=along_frequency[:, :, 1:])
    torch.cumsum(along_frequency, 2, out=room)
    along_time -= room
    torch.gather(along_time, 2, source, out=step)
    step += room


def _sources(before: Tensor, now: Tensor, source: Tensor) -> None:
    """From which bin of the frame before each bin is reached, by the path of the largest smallest magnitude.

    Args:
        before: Levels of the frames before, [..., F].
        now: Levels of the frames that are reached, [..., F].
        source: int64 [..., F], gets the bins.
    """
    num_bins = now.shape[-1]
    from_below, from_above = before.clone(), before.clone()  # the best path's level, from bins ≤ m and ≥ m
    least = now.clone()  # least[i] = min(now[i], …, now[i + reach - 1])
    room = torch.empty_like(now)
    reach = 1
    while reach < num_bins:
        rest = num_bins - reach
        path = torch.minimum(from_below[..., :rest], least[..., :rest], out=room[..., :rest])
        torch.maximum(from_below[..., reach:], path, out=from_below[..., reach:])
        path = torch.minimum(from_above[..., reach:], least[..., 1 : rest + 1], out=room[..., :rest])
        torch.maximum(from_above[..., :rest], path, out=from_above[..., :rest])
        torch.minimum(least[..., :rest], least[..., reach:], out=room[..., :rest])
        least, room = room, least
        reach *= 2
    is_below = torch.ge(from_below, from_above, out=least)

    # A bin begins a path where its own step along time beats the path through its neighbour. Where both are equal, as
    # in silence, paths go on: an onset after silence must not begin in every bin. Bins that begin no path count as the
    # outermost. Indices are floats (exact up to 2²⁴) and masks are factors: much faster than integers and selections,
    # and doubling is faster than a cumulative maximum.
    last = num_bins - 1
    index = torch.arange(num_bins, dtype=torch.float32, device=now.device)
    path = torch.minimum(from_below[..., :last], now[..., :last], out=room[..., 1:])
    below = torch.gt(before[..., 1:], path, out=from_below[..., 1:])
    path = torch.minimum(from_above[..., 1:], now[..., 1:], out=room[..., :last])
    above = torch.gt(before[..., :last], path, out=from_above[..., :last])
    below, above = from_below.mul_(index), from_above.mul_(index - last)
    below[..., 0], above[..., last] = 0.0, 0.0
    reach = 1
    while reach < num_bins:
        rest = num_bins - reach
        torch.maximum(below[..., reach:], below[..., :rest], out=room[..., reach:])
        room[..., :reach] = below[..., :reach]
        below, room = room, below
        torch.minimum(above[..., reach:], above[..., :rest], out=room[..., :rest])
        room[..., rest:] = above[..., rest:]
        above, room = room, above
        reach *= 2
    above += last
    source.copy_(below.sub_(above).mul_(is_below).add_(above))


def _factors(turns: Tensor) -> Tensor:
    """exp(2πi·turns); the cosine and the sine apart, which is several times as fast as torch.polar."""
    angle = turns.frac().mul_(2.0 * math.pi)
    return torch.complex(angle.cos(), angle.sin_())


def _gaussian_width(stft: StftSpec) -> float:
    """γ: the Gaussian exp(-π·t²/γ) that is as wide as the window, in samples².

    The published values of the LTFAT toolbox (http://ltfat.org), as shares of the window's length squared.
    """
    share = {"hann": 0.25645, "hamming": 0.29794, "blackman": 0.17954}[stft.window]
    return share * stft.win_length**2


def _exact_turns(num_samples: int, num_bins: int, n_fft: int, device: torch.device) -> Tensor:
    """By how many turns, modulo whole ones, each bin's own frequency advances in so many samples: [F]."""
    whole = torch.arange(num_bins, device=device).mul_(num_samples).remainder_(n_fft)
    return whole.to(torch.float32).div_(n_fft)
