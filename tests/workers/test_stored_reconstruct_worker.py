"""What a store keeps gives the sound that the recording gives, the same alone and in a batch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workers.encode_worker import EncodeWorker
from workers.encode_worker_spec import EncodeWorkerSpec
from workers.mel_worker import MelWorker
from workers.mel_worker_spec import MelWorkerSpec
from workers.reconstruct_worker import ReconstructWorker
from workers.reconstruct_worker_spec import ReconstructWorkerSpec
from workers.stored_reconstruct_worker import StoredReconstructWorker

SAMPLES = 160 * 64
MEL = {"n_fft": 1024, "win_length": 1024, "hop_length": 160}
CPU: dict[str, Any] = {"device": "cpu", "microbatch": 4}


def batch_of(count: int, *, channels: int = 1, samples: int = SAMPLES) -> dict[str, torch.Tensor]:
    noise = torch.randn(count, channels, samples, generator=torch.Generator().manual_seed(2))
    return {
        "waveform": 0.05 * noise.cumsum(dim=2).sin(),
        "num_samples": torch.full((count,), samples),
        "seed": torch.arange(count, dtype=torch.int64) - 1,
    }


def stored_batch(batch: dict[str, torch.Tensor], columns: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The batch that a store of these columns gives."""
    flat = {name: tensor.flatten(1) for name, tensor in columns.items() if name != "microbatch"}
    return {**flat, "num_samples": batch["num_samples"], "seed": batch["seed"], "bucket_samples": SAMPLES}


def vae_settings(folder: Path) -> dict[str, Any]:
    return {"kind": "autoencoder_kl", "weights": str(folder)}


@pytest.mark.parametrize("channels", [1, 2])
def test_a_mel_gives_the_sound_of_its_recording(channels: int) -> None:
    batch = batch_of(3, channels=channels)
    mels = MelWorker(MelWorkerSpec(mel=MEL, **CPU))(batch)
    settings = {"mel": MEL, "methods": ("griffin_lim",), "channels": channels, **CPU}
    expected = ReconstructWorker(ReconstructWorkerSpec(**settings))(batch)
    made = StoredReconstructWorker(ReconstructWorkerSpec(stored="mel", **settings))(stored_batch(batch, mels))
    assert torch.equal(made["griffin_lim"], expected["griffin_lim"])
    assert torch.equal(made["griffin_lim_peak"], expected["griffin_lim_peak"])
    assert (made["griffin_lim_seconds"] > 0).all()


@pytest.mark.parametrize(("kept", "latent"), [("moments", "mean"), ("moments", "sample"), ("sample", "sample")])
def test_latents_give_the_sound_of_their_recording(
    tiny_autoencoder_kl: Callable[..., Path], tiny_hifigan: Callable[..., Path], kept: Any, latent: Any
) -> None:
    batch, model = batch_of(2), vae_settings(tiny_autoencoder_kl())
    latents = EncodeWorker(EncodeWorkerSpec(mel=MEL, model=model, latent=kept, **CPU))(batch)
    methods = ("griffin_lim", "vocoder")
    settings = {"mel": MEL, "model": model, "vocoder": {"weights": str(tiny_hifigan())}, "methods": methods, **CPU}
    expected = ReconstructWorker(ReconstructWorkerSpec(latent=latent, **settings))(batch)
    worker = StoredReconstructWorker(ReconstructWorkerSpec(stored=kept, latent=latent, **settings))
    made = worker(stored_batch(batch, latents))
    for method in methods:
        assert torch.equal(made[method], expected[method])
    assert {column.name for column in worker.spec.outputs(SAMPLES, 1)} == made.keys() - {"microbatch"}


def test_a_mel_may_still_go_through_a_vae(tiny_autoencoder_kl: Callable[..., Path]) -> None:
    batch, model = batch_of(2), vae_settings(tiny_autoencoder_kl())
    mels = MelWorker(MelWorkerSpec(mel=MEL, **CPU))(batch)
    settings = {"mel": MEL, "model": model, "methods": ("griffin_lim",), **CPU}
    expected = ReconstructWorker(ReconstructWorkerSpec(**settings))(batch)
    made = StoredReconstructWorker(ReconstructWorkerSpec(stored="mel", **settings))(stored_batch(batch, mels))
    assert torch.equal(made["griffin_lim"], expected["griffin_lim"])


def test_a_waveform_vae_decodes_all_channels_at_once(tiny_oobleck: Callable[..., Path]) -> None:
    batch, model = batch_of(3, channels=2), {"kind": "autoencoder_oobleck", "weights": str(tiny_oobleck())}
    latents = EncodeWorker(EncodeWorkerSpec(mel=None, model=model, channels=2, **CPU))(batch)
    assert latents["latent_mean"].shape == (3, 8, SAMPLES // 80)
    settings = {"mel": None, "model": model, "methods": ("decode",), "channels": 2, **CPU}
    expected = ReconstructWorker(ReconstructWorkerSpec(**settings))(batch)
    assert expected["decode"].shape == (3, 2, SAMPLES)
    assert (expected["decode_seconds"] > 0).all()
    made = StoredReconstructWorker(ReconstructWorkerSpec(stored="moments", **settings))(stored_batch(batch, latents))
    assert torch.equal(made["decode"], expected["decode"])


def test_alone_as_in_a_batch(tiny_autoencoder_kl: Callable[..., Path]) -> None:
    batch, model = batch_of(6), vae_settings(tiny_autoencoder_kl())
    latents = EncodeWorker(EncodeWorkerSpec(mel=MEL, model=model, **CPU))(batch)
    spec = ReconstructWorkerSpec(stored="moments", latent="sample", mel=MEL, model=model, **CPU)
    worker, stored = StoredReconstructWorker(spec), stored_batch(batch, latents)
    together = worker(stored)
    alone = worker({name: value if name == "bucket_samples" else value[5:] for name, value in stored.items()})
    assert torch.equal(alone["griffin_lim"][0], together["griffin_lim"][5])


def test_what_lies_behind_the_true_length_is_silent() -> None:
    batch = batch_of(1)
    mels = MelWorker(MelWorkerSpec(mel=MEL, **CPU))(batch)
    batch["num_samples"][:] = 5_000
    made = StoredReconstructWorker(ReconstructWorkerSpec(stored="mel", mel=MEL, **CPU))(stored_batch(batch, mels))
    assert made["griffin_lim"][:, :, :5_000].any()
    assert not made["griffin_lim"][:, :, 5_000:].any()


def test_tensors_of_another_shape_are_refused() -> None:
    worker = StoredReconstructWorker(ReconstructWorkerSpec(stored="mel", mel=MEL, **CPU))
    batch = stored_batch(batch_of(2), {"mel": torch.zeros(2, 64, 63)})
    with pytest.raises(ValueError, match=r"mel: rows of shape \[4032\], where a unit is \[1, 64, 64\]"):
        worker(batch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stored": "moments"}, "there is no model to decode them"),
        ({"stored": "mean", "latent": "sample", "model": {"kind": "audio_vae"}}, "only the mean is stored"),
        ({"methods": ("decode",)}, "only a VAE of waveforms decodes to sound"),
        ({"model": {"kind": "autoencoder_oobleck", "weights": "random"}}, "needs none but decode"),
        ({"model": {"kind": "autoencoder_oobleck", "weights": "random"}, "methods": ("decode",)}, "leave mel out"),
        ({"mel": None}, "what the model takes is a mel"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReconstructWorkerSpec(**settings)
