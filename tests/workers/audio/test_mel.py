"""The reference is numpy in float64 with librosa's filters, written as the definition reads."""

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from workers.audio.mel import mel_spectrogram
from workers.audio.mel_spec import MelSpec

RATE = 16_000


def reference_mel(waveform: NDArray[np.float64], spec: MelSpec) -> NDArray[np.float64]:
    """Log-mel [n_mels, frames] of one mono clip [T]."""
    if spec.remove_mean:
        waveform = waveform - waveform.mean()
    if spec.peak is not None:
        waveform = waveform / (np.abs(waveform).max() + 1e-8) * spec.peak
    padded = np.pad(waveform, (spec.n_fft - spec.hop_length) // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spec.win_length) / spec.win_length)
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_length]
    magnitude = np.abs(np.fft.rfft(frames * window)).T
    filters = librosa.filters.mel(
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.f_min_hz,
        fmax=spec.f_max_hz,
        dtype=np.float64,
    )
    return np.log(np.maximum(filters @ magnitude, 1e-5))


def clip(kind: str, num_samples: int) -> NDArray[np.float32]:
    time = np.arange(num_samples) / RATE
    rng = np.random.default_rng(7)
    sounds = {
        "noise": 0.3 * rng.standard_normal(num_samples),
        "tone": 0.8 * np.sin(2 * np.pi * 440 * time),  # bands far from the tone lie at the floor
        "offset": 0.25 + 0.01 * np.sin(2 * np.pi * 3000 * time),
        "sweep": np.sin(2 * np.pi * (50 + 2000 * time) * time) * np.exp(-time),
        "click": np.eye(1, num_samples, num_samples // 2)[0],
    }
    return sounds[kind].astype(np.float32)


@pytest.mark.parametrize("kind", ["noise", "tone", "offset", "sweep", "click"])
@pytest.mark.parametrize(
    ("preset", "num_samples", "frames"), [("audioldm2", 163_840, 1024), ("audiovae", 131_072, 256)]
)
def test_equals_numpy_reference(kind: str, preset: str, num_samples: int, frames: int) -> None:
    spec = MelSpec(preset=preset)
    waveform = clip(kind, num_samples)
    mel = mel_spectrogram(torch.from_numpy(waveform)[None, None], spec)
    assert mel.dtype == torch.float32
    assert mel.shape == (1, 1, 64, frames)
    np.testing.assert_allclose(mel[0, 0], reference_mel(waveform.astype(np.float64), spec), atol=1e-5, rtol=0)


def test_audioldm2_of_silence_is_the_floor() -> None:
    mel = mel_spectrogram(torch.zeros(1, 1, 1600), MelSpec(preset="audioldm2"))
    assert mel.eq(np.float32(np.log(1e-5))).all()


@pytest.mark.parametrize("preset", ["audioldm2", "audiovae"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.usefixtures("threads")
def test_batched_equals_one_by_one_for_any_number_of_threads(preset: str, channels: int) -> None:
    spec = MelSpec(preset=preset)
    waveform = (
        torch.from_numpy(np.random.default_rng(0).standard_normal((9, channels, 20_480)).astype(np.float32)) * 0.1
    )
    num_samples = torch.tensor([20_480, 20_000, 5_000, 1, 20_480, 777, 10_240, 12_345, 20_480])
    waveform *= torch.arange(20_480) < num_samples.view(-1, 1, 1)
    torch.set_num_threads(1)
    alone = torch.cat([mel_spectrogram(w[None], spec, n[None]) for w, n in zip(waveform, num_samples, strict=True)])
    for num_threads in (1, 2, 3):
        torch.set_num_threads(num_threads)
        assert torch.equal(mel_spectrogram(waveform, spec, num_samples), alone)


def test_level_uses_the_true_length_and_leaves_padding_silent() -> None:
    spec = MelSpec(preset="audioldm2")
    short = clip("offset", 8_000)
    padded = np.pad(short, (0, 8_000))
    mel = mel_spectrogram(torch.from_numpy(padded)[None, None], spec, torch.tensor([8_000]))[0, 0]
    levelled = short - short.astype(np.float64).mean()
    levelled = np.pad(levelled / (np.abs(levelled).max() + 1e-8) * 0.5, (0, 8_000))
    expected = reference_mel(levelled, spec.model_copy(update={"remove_mean": False, "peak": None}))
    np.testing.assert_allclose(mel, expected, atol=1e-5, rtol=0)
    assert mel[:, -30:].eq(np.float32(np.log(1e-5))).all()


def test_peak_is_shared_by_the_channels_of_a_clip() -> None:
    spec = MelSpec(peak=0.5, log="none")
    left = torch.from_numpy(clip("noise", 16_384))
    mel = mel_spectrogram(torch.stack([left, 0.25 * left])[None], spec)
    torch.testing.assert_close(mel[0, 1], 0.25 * mel[0, 0])


def test_free_settings_equal_torchaudio() -> None:
    import torchaudio

    spec = MelSpec(
        sample_rate=22_050, n_fft=1024, win_length=800, hop_length=257, n_mels=40, f_min_hz=60.0, f_max_hz=9_000.0,
        mel_scale="htk", mel_norm="none", spectrum="power", log="log10", floor=1e-7,
    )  # fmt: skip
    waveform = torch.from_numpy(clip("noise", 257 * 50)).double()
    filters = torchaudio.functional.melscale_fbanks(513, 60.0, 9_000.0, 40, 22_050, norm=None, mel_scale="htk")
    padded = torch.nn.functional.pad(waveform[None, None], (383, 384), mode="reflect")[0]
    window = torch.hann_window(800, dtype=torch.float64)
    spectrum = torch.stft(padded, 1024, 257, 800, window, center=False, return_complex=True)[0]
    expected = (filters.double().T @ spectrum.abs().square()).clamp(min=1e-7).log10()
    mel = mel_spectrogram(waveform[None, None], spec)[0, 0]
    torch.testing.assert_close(mel.double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 4_096), r"\[B, C, T\], got shape \[2, 4096\]"), ((1, 1, 768), "768 samples are too few .* at least 769")],
)
def test_refuses_waveforms(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mel_spectrogram(torch.zeros(shape), MelSpec())


def test_refuses_num_samples_of_another_length() -> None:
    with pytest.raises(ValueError, match=r"num_samples of shape \[2\], got \[3\]"):
        mel_spectrogram(torch.zeros(2, 1, 4096), MelSpec(), torch.tensor([1, 2, 3]))
