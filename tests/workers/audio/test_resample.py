"""A resampled window equals the same stretch of the whole recording, resampled by soxr at once."""

import numpy as np
import pytest
import soxr

from workers.audio.resample import resample, resample_window, resampled_length

RATES = [(44100, 16000), (48000, 16000), (192000, 16000), (8000, 16000), (16000, 44100), (96000, 44100), (11025, 48000)]


@pytest.mark.parametrize(("rate_in", "rate_out"), [*RATES, (44101, 16000)])
@pytest.mark.parametrize("quality", ["VHQ", "HQ", "MQ", "LQ", "QQ"])
def test_window_equals_whole(rate_in: int, rate_out: int, quality: str) -> None:
    whole_in = np.random.default_rng(rate_in).uniform(-1, 1, (3 * rate_in, 2)).astype(np.float32)
    whole = soxr.resample(whole_in, rate_in, rate_out, quality=quality)
    tolerance = 1.5e-4 if quality == "QQ" else 5e-6  # soxr's own position rounding in its interpolating recipe
    for start in (0, 7, rate_out // 3, rate_out + 1, 2 * rate_out + rate_out // 2):
        num = rate_out // 2
        window = resample_window(start, num, rate_in=rate_in, rate_out=rate_out)
        samples = np.zeros((window.stop - window.start, 2), np.float32)
        there = whole_in[window.start : window.stop]
        samples[: len(there)] = there
        out = resample(samples, window, rate_in=rate_in, rate_out=rate_out, quality=quality)
        assert out.shape == (num, 2)
        assert np.abs(out - whole[start : start + num]).max() < tolerance


def test_equal_rates_pass_through() -> None:
    window = resample_window(5, 10, rate_in=16000, rate_out=16000)
    assert (window.start, window.stop, window.skip) == (5, 15, 0)
    samples = np.ones((10, 1), np.float32)
    assert resample(samples, window, rate_in=16000, rate_out=16000, quality="HQ") is samples


def test_window_is_small_and_on_the_grid() -> None:
    window = resample_window(160_000, 16_000, rate_in=44100, rate_out=16000)
    assert window.start % 441 == 0
    assert window.start * 160 % 441 == 0
    assert window.stop - window.start < 44100 + 2 * 441 + 441  # context on both sides and one step of the grid


@pytest.mark.parametrize(
    ("num_frames", "rates", "expected"),
    [
        (44100, (44100, 16000), 16000),
        (1000, (44100, 16000), 363),
        (1, (44100, 16000), 1),
        (0, (8000, 16000), 0),
        (3, (8000, 16000), 6),
    ],
)
def test_resampled_length_counts_positions_inside(num_frames: int, rates: tuple[int, int], expected: int) -> None:
    assert resampled_length(num_frames, *rates) == expected
