"""Vocoders of transformers give what they give there, cut to their frames, whatever the batch and the threads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import FastSpeech2ConformerHifiGan, FastSpeech2ConformerHifiGanConfig, SpeechT5HifiGan

from tests.workers.models.hifigan_folders import config_of
from workers.audio.mel_spec import MelSpec
from workers.models.transformers_vocoder_spec import TransformersVocoderSpec
from workers.models.vocoder import Vocoder
from workers.models.weights import weights_digest


def mels(rows: int, frames: int = 25) -> torch.Tensor:
    return torch.randn(rows, 64, frames, generator=torch.Generator().manual_seed(0)) - 4.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_equals_transformers(tiny_hifigan: Callable[..., Path], dtype: torch.dtype) -> None:
    folder = tiny_hifigan(dtype=dtype)
    mel = mels(2)
    sound = Vocoder(TransformersVocoderSpec(weights=str(folder)))(mel)
    model = SpeechT5HifiGan.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = model(mel.transpose(1, 2))
    assert expected.shape[1] == 160 * 25 + 32
    assert (sound.dtype, sound.shape) == (torch.float32, (2, 160 * 25))
    assert 0.01 < expected.std() < 0.9
    torch.testing.assert_close(sound, expected[:, : 160 * 25], atol=1e-5, rtol=0)


@pytest.fixture
def conformer_hifigan(tmp_path: Path) -> Path:
    """A small FastSpeech2ConformerHifiGan, whose mean and scale are not those that do nothing."""
    config = FastSpeech2ConformerHifiGanConfig(
        model_in_dim=64,
        upsample_initial_channel=32,
        upsample_rates=[5, 4, 4, 2],
        upsample_kernel_sizes=[16, 8, 8, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        initializer_range=0.15,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FastSpeech2ConformerHifiGan(config)
    model.mean.copy_(torch.linspace(-5.0, -3.0, 64))
    model.scale.copy_(torch.linspace(0.5, 1.5, 64))
    model.save_pretrained(tmp_path / "conformer")
    return tmp_path / "conformer"


def test_a_conformers_vocoder_normalises_first(conformer_hifigan: Path) -> None:
    spec = TransformersVocoderSpec(weights=str(conformer_hifigan))
    sound = Vocoder(spec)(mels(2))
    model = FastSpeech2ConformerHifiGan.from_pretrained(conformer_hifigan, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = model(mels(2).transpose(1, 2))
        model.config.normalize_before = False
        plain = model(mels(2).transpose(1, 2))
    torch.testing.assert_close(sound, expected[:, : 160 * 25], atol=1e-5, rtol=0)
    assert 0.01 < expected.std() < 0.9
    assert (expected - plain).abs().max() > 0.01
    spec.check_mel(MelSpec(preset="audioldm2"))
    spec.check_mel(MelSpec(preset="audioldm2", sample_rate=22_050))  # its config states no rate
    with pytest.raises(ValueError, match=r"mel.hop_length is 256 and the vocoder's 160"):
        spec.check_mel(MelSpec(preset="audioldm2", hop_length=256))


def test_a_class_is_known_by_its_type_where_no_class_is_named(conformer_hifigan: Path) -> None:
    spec = TransformersVocoderSpec(weights=str(conformer_hifigan))
    expected = Vocoder(spec)(mels(1))
    path = conformer_hifigan / "config.json"
    config = json.loads(path.read_text())
    assert config.pop("architectures") == ["FastSpeech2ConformerHifiGan"]
    path.write_text(json.dumps(config))
    assert config["model_type"] == "fastspeech2_conformer_hifigan"
    assert torch.equal(Vocoder(spec)(mels(1)), expected)


def test_what_a_config_leaves_out_is_the_classs_own(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["SpeechT5HifiGan"]}))
    spec = TransformersVocoderSpec(weights=str(tmp_path))
    with pytest.raises(ValueError, match=r"mel.n_mels is 64 and the vocoder's 80, mel.hop_length is 160 and .* 256"):
        spec.check_mel(MelSpec(preset="audioldm2"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (config_of(), "holds a HiFi-GAN in its original format: set kind: hifigan"),
        (
            {"architectures": ["FastSpeech2ConformerWithHifiGan"]},
            "holds a FastSpeech2ConformerWithHifiGan, expected .*: save its vocoder by itself",
        ),
        ({"model_type": "bert"}, "holds a bert, expected a SpeechT5HifiGan or a FastSpeech2ConformerHifiGan"),
    ],
)
def test_a_folder_of_another_format_is_refused(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        TransformersVocoderSpec(weights=str(tmp_path)).config()


def test_half_precision_takes_float32(tiny_hifigan: Callable[..., Path]) -> None:
    spec = TransformersVocoderSpec(weights=str(tiny_hifigan(dtype=torch.float16)))
    exact = Vocoder(spec)(mels(1))
    half = Vocoder(spec).to(torch.device("cpu"), torch.bfloat16)(mels(1))
    assert half.dtype == torch.float32
    assert (half - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.usefixtures("threads")
def test_bits_depend_neither_on_neighbours_nor_on_threads(tiny_hifigan: Callable[..., Path]) -> None:
    vocoder, mel = Vocoder(TransformersVocoderSpec(weights=str(tiny_hifigan()))), mels(5)
    torch.set_num_threads(1)
    alone = torch.cat([vocoder(row) for row in mel.split(1)])
    torch.set_num_threads(2)
    assert torch.equal(vocoder(mel), alone)


def test_a_pipelines_folder_gives_its_vocoder(tiny_hifigan: Callable[..., Path], tmp_path: Path) -> None:
    tiny_hifigan(folder=tmp_path / "vocoder")
    inside = TransformersVocoderSpec(weights=str(tmp_path))
    assert Vocoder(inside)(mels(1)).shape == (1, 4000)
    assert weights_digest(inside) == weights_digest(TransformersVocoderSpec(weights=str(tmp_path / "vocoder")))
    assert weights_digest(inside) != weights_digest(TransformersVocoderSpec(weights=str(tiny_hifigan(seed=1))))


def test_another_model_and_another_mel_are_refused(
    tiny_autoencoder_kl: Callable[..., Path], tiny_hifigan: Callable[..., Path]
) -> None:
    with pytest.raises(ValueError, match="expected a SpeechT5HifiGan"):
        TransformersVocoderSpec(weights=str(tiny_autoencoder_kl())).config()
    spec = TransformersVocoderSpec(weights=str(tiny_hifigan()))
    spec.check_mel(MelSpec(preset="audioldm2"))
    with pytest.raises(ValueError, match=r"mel.n_mels is 80 and the vocoder's 64, mel.hop_length is 256 and .* 160"):
        spec.check_mel(MelSpec(preset="audioldm2", n_mels=80, hop_length=256))
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
        Vocoder(TransformersVocoderSpec(weights=str(folder)))


def test_pickled_weights_by_the_name_that_transformers_gives_them(tiny_hifigan: Callable[..., Path]) -> None:
    folder = tiny_hifigan()
    safe = Vocoder(TransformersVocoderSpec(weights=str(folder)))(mels(1))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"only pickled weights \(pytorch_model.bin\).*allow_pickle: true"):
        Vocoder(TransformersVocoderSpec(weights=str(folder)))
    spec = TransformersVocoderSpec(weights=str(folder), allow_pickle=True)
    assert torch.equal(Vocoder(spec)(mels(1)), safe)
    (folder / "pytorch_model.bin").rename(folder / "weights.bin")
    with pytest.raises(ValueError, match=r"holds weights.bin: expected pytorch_model.bin, or model.safetensors"):
        Vocoder(spec)


def test_a_variant_is_loaded(tiny_hifigan: Callable[..., Path]) -> None:
    folder = tiny_hifigan()
    expected = Vocoder(TransformersVocoderSpec(weights=str(folder)))(mels(1))
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    assert torch.equal(Vocoder(TransformersVocoderSpec(weights=str(folder)))(mels(1)), expected)


@pytest.mark.slow
def test_random_weights_have_audioldm2s_shape() -> None:
    vocoder = Vocoder(TransformersVocoderSpec(weights="random", seed=3))
    assert sum(parameter.numel() for parameter in vocoder.model.parameters()) == pytest.approx(55.3e6, rel=0.01)
    sound = vocoder(mels(1, frames=8))
    assert sound.shape == (1, 8 * 160)
    assert torch.isfinite(sound).all()
