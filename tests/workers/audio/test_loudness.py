"""Values from ITU-R BS.1770-4 and EBU Tech 3341."""

import math

import pytest
import torch

from workers.audio.level import scale_to_loudness
from workers.audio.loudness import integrated_loudness


def sine(dbfs: float, seconds: float, sample_rate: int = 48_000, hz: float = 997.0) -> torch.Tensor:
    time = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    return 10 ** (dbfs / 20) * torch.sin(2 * math.pi * hz * time)


def loudness(waveform: torch.Tensor, sample_rate: int = 48_000) -> float:
    return integrated_loudness(waveform[None], torch.tensor([waveform.shape[-1]]), sample_rate).item()


@pytest.mark.parametrize("sample_rate", [16_000, 44_100, 48_000])
def test_full_scale_sine_in_one_channel_is_minus_3_01(sample_rate: int) -> None:
    assert loudness(sine(0.0, 3.0, sample_rate)[None], sample_rate) == pytest.approx(-3.01, abs=0.05)


def test_ebu_3341_case_1_stereo_sine() -> None:
    tone = sine(-23.0, 5.0, hz=1000.0)
    assert loudness(torch.stack([tone, tone])) == pytest.approx(-23.0, abs=0.1)


def test_ebu_3341_case_3_relative_gate() -> None:
    tone = torch.cat([sine(-36.0, 2.0, hz=1000.0), sine(-23.0, 12.0, hz=1000.0), sine(-36.0, 2.0, hz=1000.0)])
    assert loudness(torch.stack([tone, tone])) == pytest.approx(-23.0, abs=0.1)


def test_does_not_depend_on_padding_or_neighbours() -> None:
    short, long = sine(-20.0, 0.1), sine(-12.0, 2.0)
    batch = torch.zeros(2, 1, 96_000, dtype=torch.float64)
    batch[0, 0, : len(short)], batch[1, 0] = short, long
    together = integrated_loudness(batch, torch.tensor([len(short), len(long)]), 48_000)
    assert together[0].item() == pytest.approx(loudness(short[None]), abs=1e-9)
    assert together[1].item() == loudness(long[None])


def test_scale_reaches_the_target_and_leaves_silence() -> None:
    batch = torch.stack([sine(-40.0, 1.0), torch.zeros(48_000, dtype=torch.float64)]).unsqueeze(1)
    num_samples = torch.tensor([48_000, 48_000])
    scaled = scale_to_loudness(batch, num_samples, 48_000, -16.0)
    measured = integrated_loudness(scaled, num_samples, 48_000)
    assert measured[0].item() == pytest.approx(-16.0, abs=1e-6)
    assert measured[1].item() == -math.inf
    assert scaled[1].eq(0).all()
