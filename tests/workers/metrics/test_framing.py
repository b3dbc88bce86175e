"""The reference is torch.stft."""

import numpy as np
import pytest
import torch

from workers.metrics import framing as module
from workers.metrics.framing import Framing, power_spectra
from workers.metrics.spectral import LSD_FRAMING, MEL_FRAMING, MRSTFT_FRAMINGS

CENTRED = Framing(n_fft=64, win_length=64, hop_length=16, margin=32)


def whole(clips: np.ndarray, framing: Framing) -> np.ndarray:
    return np.concatenate(list(power_spectra(clips, framing)), axis=1)


def expected(clips: np.ndarray, framing: Framing) -> np.ndarray:
    extended = torch.nn.functional.pad(torch.tensor(clips), (framing.margin, framing.margin), mode="reflect")
    if framing.fill_last:
        beyond = max(0, extended.shape[1] - framing.n_fft)
        missing = max(0, framing.n_fft - extended.shape[1]) + (-beyond) % framing.hop_length
        extended = torch.nn.functional.pad(extended, (0, missing))
    window = torch.hann_window(framing.win_length, dtype=torch.float64)
    spectrum = torch.stft(
        extended, framing.n_fft, framing.hop_length, framing.win_length, window, center=False, return_complex=True
    )
    return spectrum.abs().square().transpose(1, 2).numpy()


@pytest.mark.parametrize("framing", [CENTRED, LSD_FRAMING, MEL_FRAMING, *MRSTFT_FRAMINGS], ids=str)
@pytest.mark.parametrize("extra", [0, 1, 255, 256, 257, 4000, 30_011])
def test_equals_torch(framing: Framing, extra: int) -> None:
    clips = np.random.default_rng(extra).standard_normal((2, framing.min_samples + extra))
    found = whole(clips, framing)
    assert found.shape == (2, framing.num_frames(clips.shape[1]), framing.n_fft // 2 + 1)
    np.testing.assert_allclose(found, expected(clips, framing), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("framing", [LSD_FRAMING, MEL_FRAMING, *MRSTFT_FRAMINGS], ids=str)
def test_a_sample_less_cannot_be_reflected(framing: Framing) -> None:
    clips = np.ones((1, framing.min_samples - 1))
    with pytest.raises(RuntimeError, match="Padding size should be less than the corresponding input dimension"):
        expected(clips, framing)


def test_blocks_and_neighbours_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = np.random.default_rng(1).standard_normal((2, 3000))
    found = whole(clips, CENTRED)
    monkeypatch.setattr(module, "BLOCK_SAMPLES", 7 * CENTRED.n_fft)
    np.testing.assert_allclose(whole(clips, CENTRED), found, rtol=1e-12)
    np.testing.assert_allclose(whole(clips[1:], CENTRED), found[1:], rtol=1e-12)
