"""What goes through a mel, a VAE and back is there, at its own level, the same alone and in a batch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.workers.models.hifigan_folders import config_of, sound_of, state_of, write_hifigan
from workers.audio.mel import mel_spectrogram
from workers.reconstruct_worker import ReconstructWorker
from workers.reconstruct_worker_spec import ReconstructWorkerSpec

SAMPLES = 160 * 100
ALL = ("griffin_lim", "vocoder", "hybrid")


def batch_of(count: int, *, channels: int = 1, samples: int = SAMPLES) -> dict[str, torch.Tensor]:
    """Chords that fade, of different loudness."""
    time = torch.arange(samples) / 16_000
    rows = [
        0.1 * (1 + row) * sum(torch.sin(2 * np.pi * f * (row + 1) * time) for f in (110.0, 275.0)) * torch.exp(-time)
        for row in range(count * channels)
    ]
    waveform = torch.stack(rows).view(count, channels, samples) / (4 * channels)  # type: ignore[arg-type]
    return {
        "waveform": waveform,
        "num_samples": torch.full((count,), samples),
        "seed": torch.arange(count, dtype=torch.int64) - 1,
    }


def worker_of(**settings: Any) -> ReconstructWorker:
    return ReconstructWorker(ReconstructWorkerSpec(**{"device": "cpu", "microbatch": 4, **settings}))


def with_models(vae: Callable[..., Path], vocoder: Callable[..., Path]) -> dict[str, Any]:
    return {
        "model": {"kind": "autoencoder_kl", "weights": str(vae())},
        "vocoder": {"weights": str(vocoder())},
        "methods": ALL,
    }


def test_without_a_vae_the_sound_comes_back_at_its_own_level() -> None:
    batch = batch_of(3)
    result = worker_of()(batch)
    assert torch.equal(result["original"], batch["waveform"])
    rms = [wave.square().mean(dim=(1, 2)).sqrt() for wave in (result["griffin_lim"], batch["waveform"])]
    torch.testing.assert_close(rms[0], rms[1], rtol=0.15, atol=0)
    assert result["griffin_lim_snr_db"].shape == (3,)
    assert (result["griffin_lim_seconds"] > 0).all()


def test_numbers_are_those_of_the_unit_without_its_padding() -> None:
    batch = batch_of(1)
    batch["waveform"][:, :, 12_000:] = 0
    batch["num_samples"][:] = 12_000
    result = worker_of()(batch)
    x, y = (wave[0, 0, :12_000].double().numpy() for wave in (batch["waveform"], result["griffin_lim"]))
    assert result["griffin_lim_snr_db"].item() == pytest.approx(10 * np.log10((x**2).sum() / ((x - y) ** 2).sum()))
    assert result["griffin_lim_correlation"].item() == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert not result["griffin_lim"][:, :, 12_000:].any()


def test_every_method_through_vae_and_vocoder_is_the_same_alone_and_in_a_batch(
    tiny_autoencoder_kl: Callable[..., Path], tiny_hifigan: Callable[..., Path]
) -> None:
    worker = worker_of(**with_models(tiny_autoencoder_kl, tiny_hifigan), latent="sample")
    batch = batch_of(6)
    together = worker(batch)
    for row in (0, 5):
        alone = worker({name: tensor[row : row + 1] for name, tensor in batch.items()})
        for method in ALL:
            assert together[method].shape == (6, 1, SAMPLES)
            assert torch.equal(alone[method][0], together[method][row])
            for number in ("snr_db", "correlation"):
                assert torch.equal(alone[f"{method}_{number}"][0], together[f"{method}_{number}"][row])
    columns = {column.name: column for column in worker.spec.outputs(SAMPLES, 1)}
    assert set(together) == {*columns, "microbatch"}
    assert all(together[name].shape[1:] == column.shape for name, column in columns.items())


@pytest.mark.parametrize("kind", ["1", "2"])
def test_a_hifigan_is_the_same_alone_and_in_a_batch(tmp_path: Path, kind: str) -> None:
    folder = write_hifigan(tmp_path, config_of(kind))
    worker = worker_of(vocoder={"kind": "hifigan", "weights": str(folder)}, methods=("vocoder", "hybrid"))
    batch = batch_of(5)
    together = worker(batch)
    mel = mel_spectrogram(batch["waveform"], worker.spec.mel)[:, 0]
    gain = worker.spec.mel.peak / batch["waveform"].abs().amax(dim=(1, 2))  # type: ignore[operator]
    sounds = sound_of(config_of(kind), state_of(config_of(kind)), mel)[:, :SAMPLES] / gain[:, None]
    stored = together["vocoder"][:, 0] * together["vocoder_peak"].clamp(min=1.0)[:, None]
    torch.testing.assert_close(stored, sounds, atol=1e-4, rtol=0)
    for row in (0, 4):
        alone = worker({name: tensor[row : row + 1] for name, tensor in batch.items()})
        for method in ("vocoder", "hybrid"):
            assert torch.equal(alone[method][0], together[method][row])


def test_the_vocoders_phases_are_where_the_hybrid_begins(
    tiny_autoencoder_kl: Callable[..., Path], tiny_hifigan: Callable[..., Path]
) -> None:
    settings = with_models(tiny_autoencoder_kl, tiny_hifigan)
    result = worker_of(**settings)(batch_of(1))
    assert not torch.equal(result["hybrid"], result["griffin_lim"])
    assert not torch.equal(result["hybrid"], result["vocoder"])


def test_what_is_louder_than_flac_can_hold_is_made_quieter_and_says_so() -> None:
    batch = batch_of(1)
    quiet = worker_of()(batch)
    batch["waveform"] *= 1.0 / batch["waveform"].abs().max()
    loud = worker_of()(batch)
    assert loud["original_peak"].item() == pytest.approx(1.0)
    peak = loud["griffin_lim_peak"].item()
    assert peak > 1.0 > quiet["griffin_lim_peak"].item()
    assert loud["griffin_lim"].abs().max().item() == pytest.approx(1.0)
    x, y = (wave[0, 0].double().numpy() for wave in (batch["waveform"], loud["griffin_lim"] * peak))
    assert loud["griffin_lim_snr_db"].item() == pytest.approx(10 * np.log10((x**2).sum() / ((x - y) ** 2).sum()))


def test_each_channel_is_a_signal_of_its_own() -> None:
    stereo = batch_of(2, channels=2)
    result = worker_of(channels=2)(stereo)
    assert result["griffin_lim"].shape == (2, 2, SAMPLES)


def test_silence_stays_silent_and_its_numbers_are_undefined() -> None:
    batch = batch_of(1)
    batch["waveform"].zero_()
    result = worker_of()(batch)
    assert torch.isfinite(result["griffin_lim"]).all()
    assert torch.isnan(result["griffin_lim_correlation"]).all()


def test_a_rate_that_flac_cannot_hold_is_refused() -> None:
    mel = {"sample_rate": 70_001, "n_fft": 2048, "win_length": 2048, "hop_length": 512, "n_mels": 64}
    with pytest.raises(ValueError, match=r"mel.sample_rate is 70001; FLAC holds rates above 65535 Hz only"):
        ReconstructWorkerSpec(mel=mel).outputs(70_144, 1)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="methods has vocoder, hybrid, but there is no vocoder"):
        ReconstructWorkerSpec(methods=("vocoder", "hybrid"))
    with pytest.raises(ValueError, match="repeat one"):
        ReconstructWorkerSpec(methods=("griffin_lim", "griffin_lim"))
