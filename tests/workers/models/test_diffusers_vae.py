from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from workers.models.diffusers_vae import DiffusersVAE
from workers.models.diffusers_vae_spec import DiffusersVaeSpec
from workers.models.load_vae import load_vae

CPU = torch.device("cpu")


def mels(frames: int = 32) -> torch.Tensor:
    return torch.randn(2, 64, frames, generator=torch.Generator().manual_seed(1)) * 3 - 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_equals_diffusers(tiny_autoencoder_kl: Callable[..., Path], dtype: torch.dtype, in_pipeline: bool) -> None:
    from diffusers import AutoencoderKL

    folder = tiny_autoencoder_kl(dtype=dtype, in_pipeline=in_pipeline)
    spec = DiffusersVaeSpec(weights=str(folder))
    vae = load_vae(spec, device=CPU, precision="float32")
    reference = AutoencoderKL.from_pretrained(folder / "vae" if in_pipeline else folder, torch_dtype=torch.float32)
    with torch.inference_mode():
        mean, logvar = vae.encode_with_distribution(mels())
        expected = reference.encode(mels().transpose(1, 2).unsqueeze(1)).latent_dist
        assert mean.shape == (2, 8, 8, 16)
        assert mean.shape[1:] == spec.latent_shape(64, 32)
        torch.testing.assert_close(mean, expected.mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logvar, expected.logvar, atol=1e-5, rtol=1e-5)
        decoded = vae.decode(mean)
        assert decoded.shape == (2, 64, 32)
        torch.testing.assert_close(
            decoded, reference.decode(expected.mean).sample.squeeze(1).transpose(1, 2), atol=1e-4, rtol=1e-4
        )


def test_scale_and_time_factor_come_from_the_config(tiny_autoencoder_kl: Callable[..., Path]) -> None:
    spec = DiffusersVaeSpec(weights=str(tiny_autoencoder_kl()))
    assert spec.scale_factor == DiffusersVAE(spec).scaling_factor == 0.4
    assert spec.time_downsample_factor == 4


def test_frequency_first_is_the_transpose(tiny_autoencoder_kl: Callable[..., Path]) -> None:
    spec = DiffusersVaeSpec(weights=str(tiny_autoencoder_kl()), mel_layout="frequency_first")
    vae = DiffusersVAE(spec)
    mean, _ = vae.encode_with_distribution(mels())
    assert mean.shape == (2, 8, 16, 8)
    assert mean.shape[1:] == spec.latent_shape(64, 32)
    assert torch.equal(mean[0], vae.model.encode(mels()[:, None]).latent_dist.mean[0])
    assert vae.decode(mean).shape == (2, 64, 32)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_with_float32_input(tiny_autoencoder_kl: Callable[..., Path], precision: str) -> None:
    spec = DiffusersVaeSpec(weights=str(tiny_autoencoder_kl(dtype=torch.float16)))
    exact, _ = load_vae(spec, device=CPU, precision="float32").encode_with_distribution(mels())
    mean, logvar = load_vae(spec, device=CPU, precision=precision).encode_with_distribution(mels())
    assert mean.dtype == logvar.dtype == torch.float32
    assert (mean - exact).abs().max() < 0.05 * exact.std()


def test_audioldm2_shapes_without_weights() -> None:
    spec = DiffusersVaeSpec(weights="random")
    assert spec.latent_shape(64, 1024) == (8, 256, 16)
    assert spec.time_downsample_factor == 4


def test_variant_and_shards(tiny_autoencoder_kl: Callable[..., Path]) -> None:
    plain = DiffusersVAE(DiffusersVaeSpec(weights=str(tiny_autoencoder_kl())))
    for options in ({"variant": "fp16"}, {"max_shard_size": "100KB"}):
        other = DiffusersVAE(DiffusersVaeSpec(weights=str(tiny_autoencoder_kl(**options))))
        assert torch.equal(other.encode_with_distribution(mels())[0], plain.encode_with_distribution(mels())[0]), (
            options
        )


def test_pickled_weights_need_leave(tiny_autoencoder_kl: Callable[..., Path]) -> None:
    folder = tiny_autoencoder_kl(safe_serialization=False)
    with pytest.raises(ValueError, match=r"only pickled weights \(diffusion_pytorch_model.bin\).*allow_pickle: true"):
        DiffusersVAE(DiffusersVaeSpec(weights=str(folder)))
    vae = DiffusersVAE(DiffusersVaeSpec(weights=str(folder), allow_pickle=True))
    safe = DiffusersVAE(DiffusersVaeSpec(weights=str(tiny_autoencoder_kl())))
    assert torch.equal(vae.encode_with_distribution(mels())[0], safe.encode_with_distribution(mels())[0])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"_class_name": "VQModel"}', "holds a VQModel, expected one of: AutoencoderKL"),
        ('{"_class_name": "AutoencoderKL", "in_channels": 3}', "pictures of 3 channels, a mel has 1"),
        ("[1]", "holds a list, expected an object"),
        ("{", "is not JSON"),
    ],
)
def test_refuses_other_models(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=message):
        DiffusersVaeSpec(weights=str(tmp_path)).config()


def test_refuses_mels_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="multiples of 4 mel bands and frames, got 64 bands and 30 frames"):
        DiffusersVaeSpec(weights="random").latent_shape(64, 30)


def test_refuses_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such model folder: /no/such/folder"):
        DiffusersVaeSpec(weights="/no/such/folder").config()
    with pytest.raises(ValueError, match=r"no config.json in .*vae nor in"):
        DiffusersVaeSpec(weights=str(tmp_path)).config()


def test_weights_that_do_not_fit(tiny_autoencoder_kl: Callable[..., Path]) -> None:
    folder = tiny_autoencoder_kl()
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match=r"do not fit its config\.json"):
        DiffusersVAE(DiffusersVaeSpec(weights=str(folder)))
