"""The references are torchmetrics and SciPy, in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torchmetrics.functional import pearson_corrcoef
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio, signal_noise_ratio

from workers.metrics.outcome import Score
from workers.metrics.pair import Pair
from workers.metrics.waveform import correlation, si_sdr_db, snr_db

CLOSE = {"rel": 0, "abs": 1e-6}
TONE = np.sin(np.arange(1600) / 7)


def tensors(pair: Pair, gain: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Degraded and reference, as torchmetrics wants them; louder, to keep its epsilon of 2e-16 out of faint clips."""
    return torch.tensor(pair.degraded * gain), torch.tensor(pair.reference * gain)


def test_equal_torchmetrics_and_scipy(any_pair: Pair) -> None:
    louder = tensors(any_pair, 1e6)
    assert snr_db(any_pair).value == pytest.approx(signal_noise_ratio(*louder).item(), **CLOSE)
    expected = scale_invariant_signal_distortion_ratio(*louder).item()
    assert si_sdr_db(any_pair).value == pytest.approx(expected, **CLOSE)
    assert correlation(any_pair).value == pytest.approx(pearson_corrcoef(*louder).item(), **CLOSE)
    expected = scipy.stats.pearsonr(any_pair.reference, any_pair.degraded).statistic
    assert correlation(any_pair).value == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("metric", [snr_db, si_sdr_db, correlation])
def test_float32_clips_give_the_float64_answer_of_their_values(
    metric: Callable[[Pair], Score], make_pair: Callable[..., Pair]
) -> None:
    clean = (1e-5 * TONE).astype(np.float32)
    noisy = clean + (2e-9 * np.cos(np.arange(1600) * 2.7)).astype(np.float32)
    found = metric(make_pair(clean, noisy))
    assert found == metric(make_pair(clean.astype(np.float64), noisy.astype(np.float64)))
    if metric is snr_db:
        expected = 10 * math.log10(
            math.fsum(float(x) ** 2 for x in clean)
            / math.fsum((float(x) - float(y)) ** 2 for x, y in zip(clean, noisy, strict=True))
        )
        assert expected > 70
        assert found.value == pytest.approx(expected, **CLOSE)
        in_float32 = signal_noise_ratio(torch.tensor(noisy), torch.tensor(clean)).item()
        assert abs(in_float32 - expected) > 20  # the trap is there


def test_values_where_the_definitions_say_so(make_pair: Callable[..., Pair]) -> None:
    silence = np.zeros_like(TONE)
    assert snr_db(make_pair(TONE, TONE)) == si_sdr_db(make_pair(TONE, TONE)) == Score(math.inf, "ok")
    assert si_sdr_db(make_pair(TONE, -2 * TONE)) == Score(math.inf, "ok")
    assert snr_db(make_pair(TONE, 2 * TONE)) == snr_db(make_pair(TONE, silence)) == Score(0.0, "ok")
    assert correlation(make_pair(TONE, TONE)).value == pytest.approx(1.0, rel=0, abs=1e-15)
    assert correlation(make_pair(TONE, 3 - TONE)).value == pytest.approx(-1.0, rel=0, abs=1e-15)
    assert si_sdr_db(make_pair(np.array([1.0, 0.0]), np.array([0.0, 1.0]))) == Score(-math.inf, "ok")
    assert snr_db(make_pair(np.array([1.0]), np.array([0.9]))).value == pytest.approx(20.0, **CLOSE)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e140])
def test_levels_far_from_one(scale: float, make_pair: Callable[..., Pair]) -> None:
    noisy = TONE + 0.01 * np.cos(np.arange(1600) * 2.7)
    for metric in (snr_db, si_sdr_db, correlation):
        expected = metric(make_pair(TONE, noisy)).value
        assert metric(make_pair(scale * TONE, scale * noisy)).value == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize(
    ("metric", "reference", "degraded", "status"),
    [
        (snr_db, 0 * TONE, TONE, "silent_reference"),
        (snr_db, 0 * TONE, 0 * TONE, "silent_reference"),
        (si_sdr_db, 0 * TONE, TONE, "silent_reference"),
        (si_sdr_db, TONE, 0 * TONE, "silent_degraded"),
        (correlation, 0 * TONE, TONE, "silent_reference"),
        (correlation, TONE, 0 * TONE, "silent_degraded"),
        (correlation, np.full(1600, 0.1), TONE, "silent_reference"),  # whose mean is not exactly 0.1
        (correlation, TONE, np.full(1600, 0.1), "silent_degraded"),
        (correlation, TONE[1:2], TONE[2:3], "too_short"),
        (snr_db, TONE[:0], TONE[:0], "too_short"),
        (si_sdr_db, TONE[:0], TONE[:0], "too_short"),
        (snr_db, TONE, TONE * np.nan, "nonfinite"),
        (si_sdr_db, np.full(1600, -np.inf), TONE, "nonfinite"),
        (correlation, np.where(TONE > 0.99, np.inf, TONE), TONE, "nonfinite"),
    ],
)
def test_undefined(metric: Any, reference: Any, degraded: Any, status: str, make_pair: Callable[..., Pair]) -> None:
    assert metric(make_pair(reference, degraded)) == Score(None, status)  # type: ignore[arg-type]
