"""Waveforms from magnitude spectrograms: fast Griffin-Lim on torch, batched, on any device.

Measured on 142 recorded sounds (5 s at 16 kHz, n_fft 1024, hop 160), median spectral convergence: -24.9 dB after 8
rounds and -26.0 dB after 16 from integrated phases, where 32 rounds of librosa and torchaudio from random phases reach
-21.3 and -21.7 dB. Every class of sounds gains by 8 rounds, though a few single clips of short drums do not.
`benchmarks/griffin_lim.py` takes the times.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.audio.griffin_lim_spec import GriffinLimSpec
from workers.audio.phase_start import phase_gradient_start
from workers.audio.stft import Stft, stft_of
from workers.audio.stft_spec import StftSpec
from workers.noise import unit_noise

# Frames that a CPU transforms at once: few enough that they stay in the cache, enough that calls do not count.
_FRAMES_AT_ONCE = 256
# Rows whose start a CPU computes together, to share the loop over frames.
_ROWS_AT_ONCE = 8
# Keeps zeros from dividing by zero; a bin so quiet contributes nothing.
_TINY = 1e-36


def griffin_lim(
    magnitude: Tensor,
    stft: StftSpec,
    spec: GriffinLimSpec | None = None,
    *,
    num_samples: int | None = None,
    seeds: Sequence[int] | None = None,
    start_phase: Tensor | None = None,
    start_waveform: Tensor | None = None,
) -> Tensor:
    """Find waveforms with the given magnitudes.

    Alternates between the spectra of waveforms and the spectra of these magnitudes (Griffin and Lim 1984, doi
    10.1109/TASSP.1984.1164317), with momentum (Perraudin, Balazs, Søndergaard 2013, doi 10.1109/WASPAA.2013.6701851) in
    the form that librosa and torchaudio have: the phase is that of X - α/(1 + α)·X', X' the spectrum of the round
    before. From the same start the result equals torchaudio's.

    A row's result does not depend on its batch, bit for bit on a CPU: each row goes through the same operations on the
    same shapes as if alone. (On a GPU, which takes all rows at once, keep the batch size fixed.) A row of zeros gives
    silence; what is not finite stays in its row.

    Args:
        magnitude: float32 [B, F, T], |X| ≥ 0, F = n_fft // 2 + 1.
        stft: The transform that the magnitudes are of.
        spec: How phases are found.
        num_samples: Samples N of the waveforms; the fewest with T frames where None.
        seeds: One per row, for the start `random`; equal seeds draw equal phases on any device, in any batch.
        start_phase: complex64 [B, F, T], factors of modulus 1 that replace the start of the spec.
        start_waveform: float32 [B, N], whose phases replace the start of the spec.

    Returns:
        float32 [B, N], on the device of the magnitudes.

    Raises:
        ValueError: A shape or type is wrong, `num_samples` has another number of frames, seeds are missing, or two
            starts are given.
    """
    spec = spec or GriffinLimSpec()
    if magnitude.ndim != 3 or magnitude.shape[1] != stft.num_bins or magnitude.dtype != torch.float32:
        raise ValueError(
            f"expected magnitudes float32 [B, {stft.num_bins}, T] for n_fft {stft.n_fft}, "
            f"got {magnitude.dtype} {list(magnitude.shape)}"
        )
    num_rows, _, num_frames = magnitude.shape
    if num_samples is None:
        num_samples = stft.num_samples(num_frames)
    transform = stft_of(stft, num_frames, num_samples, magnitude.device)
    _check_start(magnitude, spec, num_samples, seeds, start_phase, start_waveform)

    waveform = magnitude.new_empty(num_rows, num_samples)
    group = max(1, num_rows) if magnitude.is_cuda else _ROWS_AT_ONCE
    for begin in range(0, num_rows, group):
        rows = slice(begin, begin + group)
        level = magnitude[rows].transpose(1, 2).contiguous()
        chunk = max(1, num_rows) if magnitude.is_cuda else 1
        if start_phase is None and start_waveform is None and spec.start == "phase_gradient":
            integrated = phase_gradient_start(level.transpose(1, 2), stft)
        for row in range(begin, begin + len(level), chunk):
            some, here = slice(row, row + chunk), slice(row - begin, row - begin + chunk)
            if start_phase is not None:
                start = start_phase[some].transpose(1, 2)
            elif start_waveform is not None:
                start = _with_magnitude(transform.analyse(start_waveform[some]), 1.0)
            elif spec.start == "random":
                assert seeds is not None  # checked
                start = _random_start(seeds[some], num_frames, stft.num_bins).to(magnitude.device)
            else:
                start = integrated[here]
            waveform[some] = _iterate(level[here], start, transform, spec)
    return waveform


def _iterate(magnitude: Tensor, phase: Tensor, transform: Stft, spec: GriffinLimSpec) -> Tensor:
    """Rounds from phase factors complex [R, T, F], for magnitudes [R, T, F]: waveforms [R, N]."""
    n_fft, hop, num_frames = transform.spec.n_fft, transform.spec.hop_length, transform.num_frames
    hops = magnitude.new_empty(len(magnitude), transform.num_hops, hop)
    signal = magnitude.new_empty(len(magnitude), transform.num_hops * hop)
    frames = transform.frames(signal)
    chunk = num_frames if magnitude.is_cuda else min(num_frames, _FRAMES_AT_ONCE)
    windowed = magnitude.new_empty(len(magnitude), chunk, n_fft)
    norm, square = (magnitude.new_empty(len(magnitude), chunk, magnitude.shape[2]) for _ in range(2))
    weight = spec.momentum / (1.0 + spec.momentum)
    last: Tensor | None = None  # the spectrum of the round before

    for iteration in range(spec.num_iterations + 1):
        if iteration > 0:
            transform.normalise(hops, out=signal)
            transform.reflect(signal)
            if weight and last is None and iteration < spec.num_iterations:
                last = torch.zeros_like(magnitude, dtype=torch.complex64)
        hops.zero_()
        for begin in range(0, num_frames, chunk):
            now = slice(begin, min(begin + chunk, num_frames))
            size = now.stop - now.start
            if iteration == 0:
                spectrum = phase[:, now] * magnitude[:, now]
            else:
                torch.mul(frames[:, now], transform.window, out=windowed[:, :size])
                spectrum = torch.fft.rfft(windowed[:, :size])
                if last is not None:
                    new = spectrum
                    spectrum = torch.sub(new, last[:, now], alpha=weight)
                    last[:, now] = new
                _with_magnitude(spectrum, magnitude[:, now], norm[:, :size], square[:, :size])
            transform.overlap_add(torch.fft.irfft(spectrum, n=n_fft), hops, begin)
    return transform.waveform(transform.normalise(hops, out=signal))


def _with_magnitude(
    spectrum: Tensor, magnitude: Tensor | float, norm: Tensor | None = None, square: Tensor | None = None
) -> Tensor:
    """Give each bin another magnitude, in place; `norm` and `square` are room for intermediate results.

    Squares, sum, root and quotients are each rounded correctly, in vector code and in its scalar tail alike, which
    torch's complex functions are not; and they take less time.
    """
    norm = torch.square(spectrum.real, out=norm)
    norm.add_(torch.square(spectrum.imag, out=square)).add_(_TINY).rsqrt_().mul_(magnitude)
    return spectrum.mul_(norm)


def _random_start(seeds: Sequence[int], num_frames: int, num_bins: int) -> Tensor:
    """Uniform phases as factors complex64 [len(seeds), T, F], on the CPU: the angles of Gaussian pairs."""
    factors = torch.empty(len(seeds), num_frames, num_bins, dtype=torch.complex64)
    for row, seed in zip(factors, seeds, strict=True):
        row.copy_(torch.view_as_complex(torch.from_numpy(unit_noise(seed, (num_frames, num_bins, 2)))))
    return _with_magnitude(factors, 1.0)


def _check_start(
    magnitude: Tensor,
    spec: GriffinLimSpec,
    num_samples: int,
    seeds: Sequence[int] | None,
    start_phase: Tensor | None,
    start_waveform: Tensor | None,
) -> None:
    if start_phase is not None and start_waveform is not None:
        raise ValueError("start_phase and start_waveform are both given: give one")
    if start_phase is not None and (start_phase.shape != magnitude.shape or not start_phase.is_complex()):
        raise ValueError(
            f"expected a complex start_phase {list(magnitude.shape)}, got {start_phase.dtype} {list(start_phase.shape)}"
        )
    if start_waveform is not None and start_waveform.shape != (len(magnitude), num_samples):
        raise ValueError(
            f"expected a start_waveform [{len(magnitude)}, {num_samples}], got {list(start_waveform.shape)}"
        )
    if start_phase is None and start_waveform is None and spec.start == "random" and seeds is None:
        raise ValueError("the start `random` draws from the rows' seeds: give seeds, one per row")
    if seeds is not None and len(seeds) != len(magnitude):
        raise ValueError(f"expected {len(magnitude)} seeds, one per row, got {len(seeds)}")
