"""The vocoder gives what transformers gives, cut to its frames, whatever the batch and the threads."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import SpeechT5HifiGan

from workers.models.vocoder import Vocoder
from workers.models.vocoder_spec import VocoderSpec
from workers.models.weights import weights_digest


def mels(rows: int, frames: int = 25) -> torch.Tensor:
    return torch.randn(rows, 64, frames, generator=torch.Generator().manual_seed(0)) - 4.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_equals_transformers(tiny_hifigan: Callable[..., Path], dtype: torch.dtype) -> None:
    folder = tiny_hifigan(dtype=dtype)
    mel = mels(2)
    sound = Vocoder(VocoderSpec(weights=str(folder)))(mel)
    model = SpeechT5HifiGan.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = model(mel.transpose(1, 2))
    assert expected.shape[1] == 160 * 25 + 32
    assert (sound.dtype, sound.shape) == (torch.float32, (2, 160 * 25))
    torch.testing.assert_close(sound, expected[:, : 160 * 25], atol=1e-6, rtol=0)


def test_half_precision_takes_float32(tiny_hifigan: Callable[..., Path]) -> None:
    spec = VocoderSpec(weights=str(tiny_hifigan(dtype=torch.float16)))
    exact = Vocoder(spec)(mels(1))
    half = Vocoder(spec).to(torch.device("cpu"), torch.bfloat16)(mels(1))
    assert half.dtype == torch.float32
    assert (half - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.usefixtures("threads")
def test_bits_depend_neither_on_neighbours_nor_on_threads(tiny_hifigan: Callable[..., Path]) -> None:
    vocoder, mel = Vocoder(VocoderSpec(weights=str(tiny_hifigan()))), mels(5)
    torch.set_num_threads(1)
    alone = torch.cat([vocoder(row) for row in mel.split(1)])
    torch.set_num_threads(2)
    assert torch.equal(vocoder(mel), alone)


def test_a_pipelines_folder_gives_its_vocoder(tiny_hifigan: Callable[..., Path], tmp_path: Path) -> None:
    tiny_hifigan(folder=tmp_path / "vocoder")
    inside = VocoderSpec(weights=str(tmp_path))
    assert Vocoder(inside)(mels(1)).shape == (1, 4000)
    assert weights_digest(inside) == weights_digest(VocoderSpec(weights=str(tmp_path / "vocoder")))
    assert weights_digest(inside) != weights_digest(VocoderSpec(weights=str(tiny_hifigan(seed=1))))


def test_another_model_and_another_mel_are_refused(
    tiny_autoencoder_kl: Callable[..., Path], tiny_hifigan: Callable[..., Path]
) -> None:
    with pytest.raises(ValueError, match="expected a SpeechT5HifiGan"):
        VocoderSpec(weights=str(tiny_autoencoder_kl())).config()
    spec = VocoderSpec(weights=str(tiny_hifigan()))
    spec.check_mel(sample_rate=16_000, n_mels=64, hop_length=160)
    with pytest.raises(ValueError, match=r"mel.n_mels is 80 and the vocoder's 64, mel.hop_length is 256 and .* 160"):
        spec.check_mel(sample_rate=16_000, n_mels=80, hop_length=256)
    with pytest.raises(ValueError, match=r"expected a mel \[B, 64, T\], got shape \[1, 80, 10\]"):
        Vocoder(spec)(torch.zeros(1, 80, 10))


@pytest.mark.parametrize("broken", ["missing", "renamed"])
def test_weights_that_do_not_fit_are_refused(tiny_hifigan: Callable[..., Path], broken: str) -> None:
    folder = tiny_hifigan()
    tensors = load_file(folder / "model.safetensors")
    post = tensors.pop("conv_post.weight")
    if broken == "renamed":
        tensors["vocoder.conv_post.weight"] = post
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"do not fit its config.json \(missing keys: conv_post.weight"):
        Vocoder(VocoderSpec(weights=str(folder)))


def test_a_variant_is_loaded(tiny_hifigan: Callable[..., Path]) -> None:
    folder = tiny_hifigan()
    expected = Vocoder(VocoderSpec(weights=str(folder)))(mels(1))
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    assert torch.equal(Vocoder(VocoderSpec(weights=str(folder)))(mels(1)), expected)


@pytest.mark.slow
def test_random_weights_have_audioldm2s_shape() -> None:
    vocoder = Vocoder(VocoderSpec(weights="random", seed=3))
    assert sum(parameter.numel() for parameter in vocoder.model.parameters()) == pytest.approx(55.3e6, rel=0.01)
    sound = vocoder(mels(1, frames=8))
    assert sound.shape == (1, 8 * 160)
    assert torch.isfinite(sound).all()
