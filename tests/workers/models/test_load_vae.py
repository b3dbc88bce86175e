from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workers.models.audio_vae_spec import AudioVaeSpec
from workers.models.diffusers_vae_spec import DiffusersVaeSpec
from workers.models.load_vae import load_vae
from workers.models.vae import VAE

PRECISIONS = ("float32", "bfloat16", "float16")


@pytest.fixture(params=["audio_vae", "autoencoder_kl"])
def load(request: pytest.FixtureRequest, tiny_autoencoder_kl: Callable[..., Path]) -> Callable[..., VAE]:
    def load(precision: Any) -> VAE:
        small = AudioVaeSpec(weights="random", base_channels=16, num_res_blocks=1)
        spec = small if request.param == "audio_vae" else DiffusersVaeSpec(weights=str(tiny_autoencoder_kl()))
        return load_vae(spec, device=torch.device("cpu"), precision=precision)

    return load


def mels(num_rows: int, frames: int = 40) -> torch.Tensor:
    return torch.randn(num_rows, 64, frames, generator=torch.Generator().manual_seed(1)) * 3 - 5


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.usefixtures("threads")
def test_on_a_cpu_bits_do_not_depend_on_threads(load: Callable[..., VAE], precision: str) -> None:
    vae, rows = load(precision), mels(5)
    with torch.inference_mode():
        torch.set_num_threads(1)
        mean, logvar = vae.encode_with_distribution(rows)
        decoded = vae.decode(mean)
        for num_threads in (2, 3):
            torch.set_num_threads(num_threads)
            results = (*vae.encode_with_distribution(rows), vae.decode(mean))
            for result, expected in zip(results, (mean, logvar, decoded), strict=True):
                assert torch.equal(result, expected), num_threads
    assert mean.isfinite().all()
    assert decoded.shape == rows.shape


@pytest.mark.parametrize("precision", PRECISIONS)
def test_on_a_cpu_bits_depend_neither_on_place_nor_neighbours(load: Callable[..., VAE], precision: str) -> None:
    vae, rows = load(precision), mels(8)
    with torch.inference_mode():
        mean, logvar = vae.encode_with_distribution(rows)
        for order in (torch.arange(8).flip(0), torch.tensor([3, 3, 3, 3, 0, 6, 5, 7])):
            other_mean, other_logvar = vae.encode_with_distribution(rows[order])
            assert torch.equal(other_mean, mean[order])
            assert torch.equal(other_logvar, logvar[order])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_autoencoder_kl_computes_rows_alone(tiny_autoencoder_kl: Callable[..., Path], precision: Any) -> None:
    spec = DiffusersVaeSpec(weights=str(tiny_autoencoder_kl()))
    vae, rows = load_vae(spec, device=torch.device("cpu"), precision=precision), mels(5)
    with torch.inference_mode():
        together, _ = vae.encode_with_distribution(rows)
        for row in range(5):
            assert torch.equal(vae.encode_with_distribution(rows[row : row + 1])[0][0], together[row])


def test_bits_do_not_depend_on_the_lengths_that_came_before(tiny_autoencoder_kl: Callable[..., Path]) -> None:
    spec = DiffusersVaeSpec(weights=str(tiny_autoencoder_kl()))
    first, later = (load_vae(spec, device=torch.device("cpu"), precision="float32") for _ in range(2))
    with torch.inference_mode():
        for frames in (32, 200, 36):
            later.encode_with_distribution(mels(1, frames))
        assert torch.equal(first.encode_with_distribution(mels(2))[0], later.encode_with_distribution(mels(2))[0])
