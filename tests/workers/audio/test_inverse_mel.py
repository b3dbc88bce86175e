"""The references are librosa's mel inversion and scipy's non-negative least squares."""

import librosa
import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from workers.audio.griffin_lim import griffin_lim
from workers.audio.griffin_lim_spec import GriffinLimSpec
from workers.audio.inverse_mel import magnitude_from_mel
from workers.audio.mel import mel_spectrogram
from workers.audio.mel_filterbank import mel_filterbank
from workers.audio.mel_spec import MelSpec
from workers.audio.stft_spec import StftSpec

AS_RECORDED = {"remove_mean": False, "peak": None}


def sounds(num_samples: int = 16_000) -> Tensor:
    """A chord, noise bursts that fade, and both: float32 [3, 1, num_samples]."""
    time = torch.arange(num_samples) / 16_000
    chord = sum(torch.sin(2 * np.pi * f * time) for f in (220.0, 331.0, 1250.0, 3000.0))
    noise = torch.randn(num_samples, generator=torch.Generator().manual_seed(0))
    bursts = noise * torch.exp(-((time * 8) % 1.0) * 10)
    return 0.1 * torch.stack([chord, bursts, chord + bursts])[:, None]  # type: ignore[list-item]


def filters_of(spec: MelSpec) -> Tensor:
    """float64 [F, n_mels]."""
    filters = mel_filterbank(
        sample_rate=spec.sample_rate, n_fft=spec.n_fft, n_mels=spec.n_mels, f_min_hz=spec.f_min_hz,
        f_max_hz=spec.f_max_hz, scale=spec.mel_scale, norm=spec.mel_norm,
    )  # fmt: skip
    return torch.from_numpy(filters)


def mel_of(magnitude: Tensor, spec: MelSpec) -> Tensor:
    """The front end after its transform: [B, F, T] to [B, n_mels, T]."""
    bins = magnitude.double().square() if spec.spectrum == "power" else magnitude.double()
    mel = (filters_of(spec).T @ bins).clamp(min=0.0 if spec.log == "none" else spec.floor)
    return {"ln": mel.log, "log10": mel.log10, "none": mel.clone}[spec.log]()


SPECS = [
    MelSpec(preset="audioldm2", **AS_RECORDED),
    MelSpec(preset="audiovae"),
    MelSpec(preset="audioldm2", spectrum="power", log="log10", floor=1e-8, **AS_RECORDED),
    MelSpec(n_fft=512, win_length=400, hop_length=100, n_mels=40, mel_scale="htk", mel_norm="none", f_min_hz=60.0),
]


@pytest.mark.parametrize("spec", SPECS, ids=["audioldm2", "audiovae", "power", "htk"])
def test_the_mel_of_the_magnitudes_is_the_mel(spec: MelSpec) -> None:
    mel = mel_spectrogram(sounds(), spec)[:, 0]
    magnitude = magnitude_from_mel(mel, spec)
    assert magnitude.shape == (3, spec.n_fft // 2 + 1, mel.shape[2])
    assert magnitude.dtype == torch.float32
    assert magnitude.ge(0).all()
    assert magnitude[:, filters_of(spec).sum(1) == 0].eq(0).all()
    error = (mel_of(magnitude, spec) - mel).abs()
    assert error.mean() < 0.005
    further = (mel_of(magnitude_from_mel(mel, spec, num_iterations=200), spec) - mel).abs()
    assert further.mean() < 0.3 * error.mean() + 1e-6


def test_without_logarithm() -> None:
    spec = MelSpec(preset="audioldm2", log="none", **AS_RECORDED)
    mel = mel_spectrogram(sounds(), spec)[:, 0]
    error = mel_of(magnitude_from_mel(mel, spec), spec) - mel
    assert error.norm() < 0.005 * mel.norm()


def test_goes_to_the_minimum_where_no_spectrum_has_the_mel() -> None:
    spec = MelSpec(preset="audioldm2", log="none", **AS_RECORDED)
    mel = (
        torch.rand(1, 64, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.01]).repeat(32)[:, None]
    )
    filters = filters_of(spec)
    found = magnitude_from_mel(mel, spec, num_iterations=3_000)[0].double()
    for frame in range(4):
        wanted = mel[0, :, frame].double()
        weight = wanted.rsqrt()
        _, least = scipy.optimize.nnls((weight[:, None] * filters.T).numpy(), (weight * wanted).numpy())
        residual = (weight * (filters.T @ found[:, frame] - wanted)).norm()
        assert least > 0.01  # there is none
        assert residual < 1.01 * least


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_audio_is_no_worse_than_librosas(power: float) -> None:
    spec = MelSpec(preset="audioldm2", spectrum="power" if power == 2 else "magnitude", floor=1e-6, **AS_RECORDED)
    waveform = sounds()[:, 0]
    stft = StftSpec()

    def centred_mel(audio: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return librosa.feature.melspectrogram(
            y=audio, sr=16_000, n_fft=1024, hop_length=160, n_mels=64, power=power, pad_mode="reflect"
        )

    mel = centred_mel(waveform.numpy())
    theirs = librosa.feature.inverse.mel_to_audio(
        mel, sr=16_000, n_fft=1024, hop_length=160, power=power, n_iter=32, pad_mode="reflect"
    )
    magnitude = magnitude_from_mel(torch.from_numpy(mel).clamp(min=1e-6).log(), spec)
    ours = griffin_lim(magnitude, stft, GriffinLimSpec()).numpy()

    def error(audio: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        logs = [np.log(np.maximum(values, 1e-6)) for values in (centred_mel(audio), mel)]
        return np.abs(logs[0] - logs[1]).mean((1, 2))

    assert (error(ours) < error(theirs)).all()


def test_silence_is_zero() -> None:
    for spec in SPECS:
        assert magnitude_from_mel(mel_spectrogram(torch.zeros(1, 1, 8_000), spec)[:, 0], spec).eq(0).all()


def test_what_is_not_finite_stays_in_its_frame() -> None:
    mel = mel_spectrogram(sounds(), SPECS[0])[:, 0]
    expected = magnitude_from_mel(mel, SPECS[0])
    mel[1, 20, 7] = torch.nan
    found = magnitude_from_mel(mel, SPECS[0])
    assert found[1, :, 7].isnan().any()
    found[1, :, 7] = expected[1, :, 7]
    assert torch.equal(found, expected)


@pytest.mark.usefixtures("threads")
def test_batched_equals_one_by_one_for_any_number_of_threads() -> None:
    mel = mel_spectrogram(sounds(48_011), SPECS[0])[:, 0]  # more frames than are solved at once
    torch.set_num_threads(1)
    alone = torch.cat([magnitude_from_mel(row[None], SPECS[0]) for row in mel])
    for num_threads in (1, 2, 3):
        torch.set_num_threads(num_threads)
        assert torch.equal(magnitude_from_mel(mel, SPECS[0]), alone)


@pytest.mark.parametrize("shape", [(64, 10), (1, 80, 10)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"mel \[B, 64, T\], got shape \[.*10\]"):
        magnitude_from_mel(torch.zeros(shape), SPECS[0])
