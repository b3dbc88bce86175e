import librosa
import numpy as np
import pytest

from workers.audio.mel_filterbank import hz_to_mel, mel_filterbank, mel_to_hz


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", "none"])
def test_equals_librosa(scale: str, norm: str) -> None:
    ours = mel_filterbank(
        sample_rate=16_000, n_fft=1024, n_mels=64, f_min_hz=30.0, f_max_hz=7_600.0, scale=scale, norm=norm
    )
    theirs = librosa.filters.mel(
        sr=16_000, n_fft=1024, n_mels=64, fmin=30.0, fmax=7_600.0, htk=scale == "htk",
        norm="slaney" if norm == "slaney" else None, dtype=np.float64,
    )  # fmt: skip
    np.testing.assert_allclose(ours, theirs.T, atol=1e-12)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_scales_are_inverse(scale: str) -> None:
    hz = np.array([0.0, 20.0, 999.9, 1000.0, 4000.0, 22_050.0])
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, rtol=1e-12, atol=1e-9)


def test_refuses_bands_between_two_bins() -> None:
    with pytest.raises(ValueError, match="mel band 0 of 128 lies between two bins of n_fft 256"):
        mel_filterbank(
            sample_rate=16_000, n_fft=256, n_mels=128, f_min_hz=0.0, f_max_hz=8_000.0, scale="slaney", norm="slaney"
        )
