"""The reference is the heap of the paper, in plain Python."""

import heapq

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from workers.audio import phase_start as module
from workers.audio.phase_start import phase_gradient_start
from workers.audio.stft import Stft
from workers.audio.stft_spec import StftSpec


def sources_by_heap(before: NDArray[np.float32], now: NDArray[np.float32]) -> list[int]:
    """From which bin of the frame before each bin is reached, largest level first (real-time PGHI)."""
    source: dict[int, int] = {}
    heap = [(-level, 0, m, m) for m, level in enumerate(before)]  # level, frame, bin, the bin it came from
    heapq.heapify(heap)
    while heap:
        _, frame, m, come_from = heapq.heappop(heap)
        for neighbour in (m,) if frame == 0 else (m - 1, m + 1):
            if 0 <= neighbour < len(now) and neighbour not in source:
                source[neighbour] = come_from
                heapq.heappush(heap, (-now[neighbour], 1, neighbour, come_from))
    return [source[m] for m in range(len(now))]


@pytest.mark.parametrize("num_bins", [2, 3, 5, 64, 129])
@pytest.mark.parametrize("kind", ["noise", "steady", "onset", "decay"])
def test_paths_equal_the_heap(num_bins: int, kind: str) -> None:
    rng = np.random.default_rng(num_bins)
    before = rng.standard_normal((20, num_bins)).astype(np.float32)
    noise = rng.standard_normal((20, num_bins)).astype(np.float32)
    now = {"noise": noise, "steady": before + 0.1 * noise, "onset": before + 6, "decay": before - 1 + 0.1 * noise}[kind]
    source = torch.empty(now.shape, dtype=torch.int64)
    module._sources(torch.from_numpy(before), torch.from_numpy(now), source)
    assert source.tolist() == [sources_by_heap(b, n) for b, n in zip(before, now, strict=True)]


def test_an_onset_after_silence_begins_in_one_bin() -> None:
    source = torch.empty(1, 100, dtype=torch.int64)
    module._sources(torch.full((1, 100), -16.0), torch.rand(1, 100), source)
    assert source.unique().numel() == 1


def phases(waveform: torch.Tensor, stft: StftSpec) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Magnitude [B, F, T], true and found phase factors [B, T, F]."""
    transform = Stft(stft, stft.num_frames(waveform.shape[1]), waveform.shape[1], waveform.device)
    spectrum = transform.analyse(waveform)
    magnitude = spectrum.abs().transpose(1, 2)
    return magnitude, spectrum.sgn(), phase_gradient_start(magnitude, stft)


@pytest.mark.parametrize("window", ["hann", "hamming", "blackman"])
@pytest.mark.parametrize(("n_fft", "win_length"), [(1024, 1024), (1000, 800), (1023, 1023)])
def test_a_partial_advances_by_its_frequency(window: str, n_fft: int, win_length: int) -> None:
    stft = StftSpec(n_fft=n_fft, win_length=win_length, hop_length=100, window=window)
    time = torch.arange(16_000) / 16_000
    magnitude, true, found = phases(torch.sin(2 * np.pi * 1_234.5 * time)[None], stft)
    peak = magnitude[0].sum(1).argmax()
    steps = [(factors[0, 11:-10, peak] * factors[0, 10:-11, peak].conj()).angle() for factors in (found, true)]
    assert (steps[0] - steps[1]).abs().max() < 0.02  # radians per hop; the bin's own frequency is off by up to 0.3


@pytest.mark.parametrize("window", ["hann", "hamming", "blackman"])
@pytest.mark.parametrize("framing", ["centred", "hop_centred", "uncentred"])
def test_a_click_is_at_its_place(window: str, framing: str) -> None:
    stft = StftSpec(n_fft=512, win_length=512, hop_length=64, window=window, framing=framing)
    waveform = torch.zeros(1, 8_000)
    waveform[0, 4_000] = 1.0
    magnitude, _, found = phases(waveform, stft)
    transform = Stft(stft, magnitude.shape[2], 8_000, waveform.device)
    click = transform.synthesise(found * magnitude.transpose(1, 2))[0]
    assert abs(int(click.abs().argmax()) - 4_000) <= 4
    assert click[3_984:4_017].square().sum() > 0.8 * click.square().sum()


def test_modulus_is_one_and_rows_do_not_know_each_other() -> None:
    magnitude = torch.rand(5, 129, 300, generator=torch.Generator().manual_seed(0)) ** 4
    magnitude[1] = 0.0
    stft = StftSpec(n_fft=256, win_length=256, hop_length=64)
    found = phase_gradient_start(magnitude, stft)
    torch.testing.assert_close(found.abs(), torch.ones(5, 300, 129))
    for row in range(5):
        assert torch.equal(phase_gradient_start(magnitude[row : row + 1], stft)[0], found[row])
