"""The reference is torchaudio's mel spectrogram, in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.metrics.embedding import Embedding
from workers.metrics.kernel_distance import kad
from workers.metrics.log_mel_statistics import DIMENSION, MIN_SAMPLES, log_mel_statistics

RATE = 16_000


def noise(num_samples: int, seed: int = 0, gain: float = 0.1) -> NDArray[np.float32]:
    return (gain * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def values_of(waveform: NDArray[np.floating], rate: int = RATE) -> NDArray[np.float32]:
    found = log_mel_statistics(waveform, rate)
    assert found.status == "ok"
    assert found.values is not None
    assert found.values.dtype == np.float32
    assert found.values.shape == (DIMENSION,)
    return found.values


@pytest.mark.usefixtures("float64_default")
@pytest.mark.parametrize("name", ["chord", "bursts", "faint", "odd length"])
@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_equal_torchaudio(name: str, rate: int, make_clip: Callable[[str], Any]) -> None:
    clip = make_clip(name).astype(np.float32)
    transform = torchaudio.transforms.MelSpectrogram(
        rate, n_fft=1024, hop_length=256, n_mels=32, center=False, mel_scale="htk"
    )
    levels = torch.log10(1e-10 + transform(torch.from_numpy(clip).double()) / 256**2)
    steps = levels.diff(dim=1).abs()
    expected = torch.cat([levels.mean(dim=1), levels.std(dim=1, correction=0), steps.mean(dim=1)])
    np.testing.assert_allclose(values_of(clip, rate), expected, rtol=0, atol=2e-6)


def test_a_full_scale_sine_is_at_zero_decades() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    values = values_of(tone)
    assert abs(values[:32].max()) < 0.3
    assert abs(values[:32].max() - values_of(0.1 * tone)[:32].max() - 2) < 1e-5


def test_silence_is_defined() -> None:
    expected = np.concatenate([np.full(32, -10.0), np.zeros(64)]).astype(np.float32)
    np.testing.assert_array_equal(values_of(np.zeros(RATE, np.float32)), expected)


def test_threads_layout_and_repetition_change_no_bit() -> None:
    clip = noise(5 * RATE + 77)
    expected = values_of(clip)
    before = torch.get_num_threads()
    for limit in (1, 3):
        torch.set_num_threads(limit)
        with threadpool_limits(limit):
            np.testing.assert_array_equal(values_of(clip), expected)
    torch.set_num_threads(before)
    rows = np.stack([noise(len(clip), 1), clip, np.zeros_like(clip)])
    np.testing.assert_array_equal(values_of(rows[1]), expected)
    np.testing.assert_array_equal(values_of(np.asfortranarray(rows)[1]), expected)
    np.testing.assert_array_equal(values_of(clip.astype(np.float64)), expected)


def test_the_shortest_clips() -> None:
    for num_samples in (MIN_SAMPLES, MIN_SAMPLES + 1):
        assert np.isfinite(values_of(noise(num_samples))).all()
    for num_samples in (0, 1, 1024, MIN_SAMPLES - 1):
        found = log_mel_statistics(noise(num_samples), RATE)
        assert (found.values, found.status) == (None, "too_short")
    np.testing.assert_array_equal(
        values_of(noise(MIN_SAMPLES + 255)), values_of(noise(MIN_SAMPLES + 255)[:MIN_SAMPLES])
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite(bad: float) -> None:
    for num_samples in (100, RATE):
        broken = noise(num_samples)
        broken[-1] = bad
        found = log_mel_statistics(broken, RATE)
        assert (found.values, found.status) == (None, "nonfinite")


def test_the_largest_samples_are_exact_enough_for_moments() -> None:
    loudest = values_of(np.full(RATE, 1000.0, np.float32))
    assert np.abs(loudest).max() < 16
    assert log_mel_statistics(np.full(RATE, 1e300), RATE).status == "nonfinite"


def test_sets_of_other_sounds_are_further_apart() -> None:
    clips = [noise(1500, seed) for seed in range(60)]
    sharp = np.stack([values_of(clip) for clip in clips[:40]])
    dull = np.stack([values_of(np.convolve(clip, [0.5, 0.5])) for clip in clips[40:]])
    assert kad(sharp[:20], sharp[20:]).value < 0.2 * kad(sharp[:20], dull).value


def test_values_and_status_agree() -> None:
    with pytest.raises(ValueError, match="no values with status 'ok': there are values exactly where it is ok"):
        Embedding(None, "ok")
    with pytest.raises(ValueError, match="values with status 'too_short'"):
        Embedding(np.zeros(DIMENSION, np.float32), "too_short")


def test_refuses_what_is_no_clip() -> None:
    with pytest.raises(TypeError, match="the waveform has int16 samples: scale them to floating numbers"):
        log_mel_statistics(np.zeros(RATE, np.int16), RATE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"the waveform has the shape \[2, 16000\]; expected \[T\], one channel"):
        log_mel_statistics(np.zeros((2, RATE)), RATE)
    with pytest.raises(ValueError, match="not defined at 384000 Hz, where a mel band has no bin: resample to at most"):
        log_mel_statistics(np.zeros(RATE), 384_000)
