"""The references are auraloss and torchaudio, in float64, and the definitions written out with torch.stft."""

import math
from collections.abc import Callable
from typing import Any

import auraloss
import numpy as np
import pytest
import torch
import torchaudio

from workers.metrics.outcome import Score
from workers.metrics.pair import Pair
from workers.metrics.spectral import log_mel_l1, lsd, mrstft

CLOSE = {"rel": 0, "abs": 1e-6}
METRICS = (lsd, log_mel_l1, mrstft)


def tensors(pair: Pair) -> tuple[torch.Tensor, torch.Tensor]:
    """Reference and degraded."""
    return torch.tensor(pair.reference), torch.tensor(pair.degraded)


@pytest.mark.usefixtures("float64_default")
def test_mrstft_equals_auraloss(any_pair: Pair) -> None:
    reference, degraded = (clip.view(1, 1, -1) for clip in tensors(any_pair))
    expected = auraloss.freq.MultiResolutionSTFTLoss()(degraded, reference).item()
    assert mrstft(any_pair).value == pytest.approx(expected, **CLOSE)


@pytest.mark.usefixtures("float64_default")
def test_log_mel_l1_equals_torchaudio(any_pair: Pair) -> None:
    transform = torchaudio.transforms.MelSpectrogram(
        any_pair.sample_rate, n_fft=1024, hop_length=256, n_mels=80, center=False, mel_scale="htk"
    )
    mels = []
    for clip in tensors(any_pair):
        padded = torch.nn.functional.pad(clip[None], (384, 384), mode="reflect")
        padded = torch.nn.functional.pad(padded, (0, (1024 - padded.shape[1]) % 256))
        mels.append(torch.log10(1e-5 + transform(padded)))
    assert mels[0].shape[2] == math.ceil(any_pair.num_samples / 256)
    assert log_mel_l1(any_pair).value == pytest.approx((mels[0] - mels[1]).abs().mean().item(), **CLOSE)


def test_lsd_equals_its_definition(any_pair: Pair) -> None:
    window = torch.hann_window(2048, dtype=torch.float64)
    power = [
        torch.stft(clip, 2048, 512, window=window, center=True, pad_mode="reflect", return_complex=True).abs().square()
        for clip in tensors(any_pair)
    ]
    ratio = torch.log10((power[0] + 1e-10) / (power[1] + 1e-10))
    assert lsd(any_pair).value == pytest.approx(ratio.square().mean(dim=0).sqrt().mean().item(), **CLOSE)


@pytest.mark.parametrize("metric", METRICS)
def test_float32_clips_give_the_float64_answer_of_their_values(
    metric: Callable[[Pair], Score],
    make_pair: Callable[..., Pair],
    make_clip: Callable[..., Any],
    degrade: Callable[..., Any],
) -> None:
    clean, worse = make_clip("faint").astype(np.float32), degrade(make_clip("faint")).astype(np.float32)
    assert metric(make_pair(clean, worse)) == metric(make_pair(clean.astype(float), worse.astype(float)))


@pytest.mark.parametrize("metric", METRICS)
def test_equal_clips_are_at_distance_zero(
    metric: Callable[[Pair], Score], make_pair: Callable[..., Pair], make_clip: Callable[..., Any]
) -> None:
    clip = make_clip("bursts")
    assert metric(make_pair(clip, clip.copy())) == Score(0.0, "ok")


@pytest.mark.parametrize(
    ("metric", "least"), [(lsd, 1025), (log_mel_l1, 385), (mrstft, 1025)], ids=["lsd", "log_mel_l1", "mrstft"]
)
def test_the_shortest_clips(metric: Callable[[Pair], Score], least: int, make_pair: Callable[..., Pair]) -> None:
    rng = np.random.default_rng(0)
    for num_samples in (least, least + 1, least + 255, least + 257):
        assert metric(make_pair(*rng.standard_normal((2, num_samples)))).status == "ok"
    for num_samples in (0, 1, 304, least - 1):  # 304 samples: 19 ms
        assert metric(make_pair(*rng.standard_normal((2, num_samples)))) == Score(None, "too_short")


@pytest.mark.usefixtures("float64_default")
def test_silence(make_pair: Callable[..., Pair], make_clip: Callable[..., Any]) -> None:
    clip = make_clip("bursts")
    silence = np.zeros_like(clip)
    for metric in (lsd, log_mel_l1):
        assert metric(make_pair(silence, silence)) == Score(0.0, "ok")
        assert metric(make_pair(silence, clip)).value == metric(make_pair(clip, silence)).value
    assert mrstft(make_pair(silence, clip)) == mrstft(make_pair(silence, silence)) == Score(None, "silent_reference")
    expected = auraloss.freq.MultiResolutionSTFTLoss()(torch.zeros(1, 1, len(clip)), torch.tensor(clip).view(1, 1, -1))
    assert mrstft(make_pair(clip, silence)).value == pytest.approx(expected.item(), **CLOSE)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite(metric: Callable[[Pair], Score], bad: float, make_pair: Callable[..., Pair]) -> None:
    clip = np.sin(np.arange(4000) / 5)
    broken = clip.copy()
    broken[77] = bad
    assert metric(make_pair(clip, broken)) == metric(make_pair(broken, clip)) == Score(None, "nonfinite")


def test_rates_up_to_48_khz_have_mels(make_pair: Callable[..., Pair]) -> None:
    clip = np.sin(np.arange(4000) / 5)
    for rate in (8_000, 22_050, 44_100, 48_000):
        assert log_mel_l1(make_pair(clip, 0.5 * clip, rate)).status == "ok"
    with pytest.raises(ValueError, match="not defined at 96000 Hz, where a mel band has no bin: resample"):
        log_mel_l1(make_pair(clip, clip, 96_000))
