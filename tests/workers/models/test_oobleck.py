"""Stable Audio's VAE of waveforms gives what diffusers gives."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from workers.models.diffusers_vae_spec import DiffusersVaeSpec
from workers.models.load_vae import load_vae
from workers.models.oobleck import Oobleck
from workers.models.oobleck_spec import OobleckSpec
from workers.models.weights import weights_digest

CPU = torch.device("cpu")


def waves(*, channels: int = 2, samples: int = 800) -> torch.Tensor:
    return torch.randn(3, channels, samples, generator=torch.Generator().manual_seed(1)) * 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_equals_diffusers(tiny_oobleck: Callable[..., Path], dtype: torch.dtype) -> None:
    from diffusers import AutoencoderOobleck

    folder = tiny_oobleck(dtype=dtype)
    spec = OobleckSpec(weights=str(folder))
    vae = load_vae(spec, device=CPU, precision="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        reference = AutoencoderOobleck.from_pretrained(folder, torch_dtype=torch.float32)
    with torch.inference_mode():
        mean, logvar = vae.encode_with_distribution(waves())
        expected = reference.encode(waves()).latent_dist
        assert mean.shape == (3, 8, 10)
        assert mean.shape[1:] == spec.latent_shape(800)
        torch.testing.assert_close(mean, expected.mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logvar, expected.logvar, atol=1e-5, rtol=1e-5)
        sound = vae.decode(mean)
        theirs = reference.decode(expected.mean).sample
        assert sound.shape == (3, 2, 800)
        assert theirs.shape[2] < 800  # a ratio is odd, and loses what lies behind it
        torch.testing.assert_close(sound[:, :, : theirs.shape[2]], theirs, atol=1e-5, rtol=1e-5)
        assert not sound[:, :, theirs.shape[2] :].any()


def test_rates_and_shapes_come_from_the_config(tiny_oobleck: Callable[..., Path]) -> None:
    spec = OobleckSpec(weights=str(tiny_oobleck(audio_channels=1, downsampling_ratios=[2, 4, 4], sampling_rate=22_050)))
    assert (spec.sample_rate, spec.audio_channels, spec.hop_length) == (22_050, 1, 32)
    mean, _ = Oobleck(spec).encode_with_distribution(waves(channels=1, samples=640))
    assert mean.shape[1:] == spec.latent_shape(640) == (8, 20)


def test_stable_audios_shape_without_weights() -> None:
    spec = OobleckSpec(weights="random")
    assert (spec.sample_rate, spec.audio_channels, spec.hop_length) == (44_100, 2, 2048)
    assert spec.latent_shape(2048 * 1024) == (64, 1024)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_with_float32_input(tiny_oobleck: Callable[..., Path], precision: Any) -> None:
    spec = OobleckSpec(weights=str(tiny_oobleck(dtype=torch.float16)))
    exact, _ = load_vae(spec, device=CPU, precision="float32").encode_with_distribution(waves())
    mean, logvar = load_vae(spec, device=CPU, precision=precision).encode_with_distribution(waves())
    assert mean.dtype == logvar.dtype == torch.float32
    assert (mean - exact).abs().max() < 0.1 * exact.std()


def test_a_row_does_not_depend_on_its_neighbours(tiny_oobleck: Callable[..., Path]) -> None:
    vae = load_vae(OobleckSpec(weights=str(tiny_oobleck())), device=CPU, precision="float32")
    together, alone = vae.encode_with_distribution(waves())[0], vae.encode_with_distribution(waves()[2:])[0]
    assert torch.equal(together[2:], alone)
    assert torch.equal(vae.decode(together)[2:], vae.decode(alone))


def test_the_digest_is_that_of_the_weights(tiny_oobleck: Callable[..., Path]) -> None:
    digests = [weights_digest(OobleckSpec(weights=str(tiny_oobleck(seed=seed)))) for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_missing_tensors_are_refused(tiny_oobleck: Callable[..., Path]) -> None:
    folder = tiny_oobleck()
    file = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    del tensors["encoder.conv2.bias"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 tensors of its config.json: encoder.conv2.bias"):
        Oobleck(OobleckSpec(weights=str(folder)))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"_class_name": "AutoencoderKL"}', "holds a AutoencoderKL, expected an AutoencoderOobleck"),
        ('{"_class_name": "AutoencoderOobleck", "encoder_hidden_size": 32}', "has to be twice as many"),
        ('{"_class_name": "AutoencoderOobleck", "downsampling_ratios": [1, 4]}', "each has to be above 1"),
    ],
)
def test_refuses_other_models(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=message):
        OobleckSpec(weights=str(tmp_path)).config()


def test_the_other_kind_is_named(tiny_oobleck: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=r"set model\.kind: autoencoder_oobleck"):
        DiffusersVaeSpec(weights=str(tiny_oobleck())).config()


def test_refuses_other_waveforms(tiny_oobleck: Callable[..., Path]) -> None:
    spec = OobleckSpec(weights=str(tiny_oobleck()))
    with pytest.raises(ValueError, match="multiples of 80 samples, got 801"):
        spec.latent_shape(801)
    with pytest.raises(ValueError, match=r"expected a waveform \[B, 2, T\]"):
        Oobleck(spec).encode_with_distribution(waves(channels=1))
