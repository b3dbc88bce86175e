from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workers.audio.mel import mel_spectrogram
from workers.encode_worker import EncodeWorker
from workers.encode_worker_spec import EncodeWorkerSpec
from workers.noise import unit_noise

AUDIO_VAE = {"kind": "audio_vae", "weights": "random", "base_channels": 16, "num_res_blocks": 1}


def batch(num_rows: int, num_samples: int, channels: int = 1) -> dict[str, torch.Tensor]:
    waveform = np.random.default_rng(0).standard_normal((num_rows, channels, num_samples)).astype(np.float32) * 0.1
    true_length = torch.arange(num_rows) * -100 + num_samples
    return {
        "waveform": torch.from_numpy(waveform) * (torch.arange(num_samples) < true_length.view(-1, 1, 1)),
        "num_samples": true_length,
        "seed": torch.from_numpy(np.arange(num_rows, dtype=np.uint64) + np.uint64(2**63)),
    }


def first(rows: dict[str, torch.Tensor], num_rows: int) -> dict[str, torch.Tensor]:
    return {name: values[:num_rows] for name, values in rows.items()}


@pytest.fixture(params=["audio_vae", "autoencoder_kl"])
def settings(request: pytest.FixtureRequest, tiny_autoencoder_kl: Callable[..., Path]) -> dict[str, Any]:
    if request.param == "audio_vae":
        return {"model": AUDIO_VAE, "device": "cpu"}
    model = {"kind": "autoencoder_kl", "weights": str(tiny_autoencoder_kl())}
    return {"model": model, "mel": {"preset": "audioldm2"}, "device": "cpu"}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.usefixtures("threads")
def test_bits_depend_neither_on_threads_nor_on_neighbours(settings: dict[str, Any], precision: str) -> None:
    worker = EncodeWorker(EncodeWorkerSpec(**settings, precision=precision, microbatch=8))
    # More than 1024 pixels after the first halving: where torch's own kernels change with the threads.
    rows = batch(9, worker.spec.alignment_samples * 64)
    torch.set_num_threads(1)
    expected = worker(rows)
    for num_threads, num_rows in [(1, 1), (1, 8), (2, 1), (2, 3), (2, 8), (2, 9), (3, 9), (5, 3)]:
        torch.set_num_threads(num_threads)
        result = worker(first(rows, num_rows))
        for name, values in result.items():
            assert torch.equal(values, expected[name][:num_rows]), (num_threads, num_rows, name)
    reversed_rows = worker(
        {name: values.flip(0) for name, values in rows.items() if name != "seed"} | {"seed": rows["seed"]}
    )
    assert torch.equal(reversed_rows["latent_mean"].flip(0), expected["latent_mean"])


@pytest.mark.parametrize("latent", ["moments", "mean", "sample"])
@pytest.mark.parametrize("channels", [1, 2])
def test_columns_are_as_the_spec_says(settings: dict[str, Any], latent: str, channels: int) -> None:
    spec = EncodeWorkerSpec(**settings, latent=latent, channels=channels, microbatch=2)
    num_samples = spec.alignment_samples * 8
    columns = spec.outputs(num_samples, channels)
    result = EncodeWorker(spec)(batch(3, num_samples, channels))
    assert list(result) == [*(column.name for column in columns), "microbatch"]
    for column in columns:
        values = result[column.name]
        assert values.shape == (3, *column.shape)
        assert values.dtype == torch.float32
        assert values.is_contiguous()
        assert values.device.type == "cpu"
        assert values.isfinite().all()


def test_moments_are_the_models_and_samples_are_drawn_with_the_rows_seed(settings: dict[str, Any]) -> None:
    worker = EncodeWorker(EncodeWorkerSpec(**settings, microbatch=4))
    rows = batch(4, worker.spec.alignment_samples * 8)
    moments = worker(rows)
    with torch.inference_mode():
        mel = mel_spectrogram(rows["waveform"], worker.spec.mel, rows["num_samples"])[:, 0]
        mean, logvar = worker.vae.encode_with_distribution(mel)
    assert torch.equal(moments["latent_mean"], mean)
    assert torch.equal(moments["latent_logvar"], logvar)

    sample = EncodeWorker(EncodeWorkerSpec(**settings, microbatch=4, latent="sample"))(rows)["latent_sample"]
    for row in range(4):
        noise = torch.from_numpy(unit_noise(2**63 + row, tuple(mean.shape[1:])))
        torch.testing.assert_close(sample[row], mean[row] + (0.5 * logvar[row]).exp() * noise)


def test_channels_are_encoded_as_signals_of_their_own() -> None:
    stereo = EncodeWorker(EncodeWorkerSpec(model=AUDIO_VAE, device="cpu", channels=2, microbatch=2))
    mono = EncodeWorker(EncodeWorkerSpec(model=AUDIO_VAE, device="cpu", microbatch=4))
    rows = batch(2, 16_384, 2)
    together = stereo(rows)["latent_mean"]
    for channel in range(2):
        apart = mono({**rows, "waveform": rows["waveform"][:, channel : channel + 1]})["latent_mean"]
        torch.testing.assert_close(together[:, channel], apart)


def test_input_is_not_changed() -> None:
    rows = batch(3, 16_384)
    before = {name: values.clone() for name, values in rows.items()}
    EncodeWorker(EncodeWorkerSpec(model=AUDIO_VAE, device="cpu"))(rows)
    assert all(torch.equal(rows[name], before[name]) for name in rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"waveform": torch.zeros(3, 16_384)}, r"waveform \[n, C, T\] with n >= 1, got shape \[3, 16384\]"),
        ({"waveform": torch.zeros(0, 1, 16_384)}, r"got shape \[0, 1, 16384\]"),
        ({"waveform": torch.zeros(3, 2, 16_384)}, "the spec says 1 channels, a unit has 2"),
        ({"waveform": torch.zeros(3, 1, 16_384 + 512)}, "multiple of 4 frames, got 33"),
        ({"seed": torch.zeros(2)}, r"seed of shape \[3\], got \[2\]"),
    ],
)
def test_refuses_malformed_batches(change: dict[str, torch.Tensor], message: str) -> None:
    worker = EncodeWorker(EncodeWorkerSpec(model=AUDIO_VAE, device="cpu"))
    with pytest.raises(ValueError, match=message):
        worker({**batch(3, 16_384), **change})


def test_names_the_missing_column() -> None:
    rows = batch(1, 16_384)
    del rows["seed"]
    with pytest.raises(ValueError, match="lacks seed; it has num_samples, waveform"):
        EncodeWorker(EncodeWorkerSpec(model=AUDIO_VAE, device="cpu"))(rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_cuda_without_a_gpu() -> None:
    with pytest.raises(ValueError, match="torch sees no GPU: set device to auto or cpu"):
        EncodeWorker(EncodeWorkerSpec(model=AUDIO_VAE, device="cuda"))


@pytest.mark.gpu
def test_gpu_agrees_with_cpu_and_with_itself(settings: dict[str, Any]) -> None:
    cpu = EncodeWorker(EncodeWorkerSpec(**settings))
    gpu = EncodeWorker(EncodeWorkerSpec(**{**settings, "device": "cuda"}))
    rows = batch(9, cpu.spec.alignment_samples * 16)
    expected, result = cpu(rows), gpu(rows)
    for name, values in result.items():
        torch.testing.assert_close(values, expected[name], atol=1e-4, rtol=1e-4)
        assert torch.equal(gpu(first(rows, 3))[name], values[:3])
