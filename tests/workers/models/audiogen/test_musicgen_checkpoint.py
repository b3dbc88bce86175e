"""MusicGen in the transformers format computes what transformers computes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.workers.models.audiogen.musicgens import save_musicgen
from tests.workers.models.audiogen.plain_lm import plain_logits
from tests.workers.models.audiogen.references import reference_folder
from workers.models.audiogen.checkpoint import AudioGenCheckpoint
from workers.models.audiogen.codec import Codec
from workers.models.audiogen.musicgen_checkpoint import (
    GENERATION_FILE,
    read_encodec_checkpoint,
    read_musicgen_checkpoint,
)
from workers.models.checkpoint import find_checkpoint


def read(folder: Path) -> AudioGenCheckpoint:
    return read_musicgen_checkpoint(find_checkpoint(str(folder), stem="model", companions=[GENERATION_FILE]))


def change_config(folder: Path, key: str, value: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    *parents, name = key.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[name] = value
    path.write_text(json.dumps(config))


def assert_logits_equal(checkpoint: AudioGenCheckpoint, model: Any) -> None:
    """Of two texts of different lengths, within 1e-5."""
    lm = checkpoint.shape.lm
    state = {name: tensor.float() for name, tensor in checkpoint.lm_state.items()}
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(lm.card + 1, (2, lm.num_codebooks, 7), generator=generator)
    hidden = torch.randn(2, 5, lm.text_dim, generator=generator)
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    condition = torch.nn.functional.linear(hidden, state["text_projection.weight"], state.get("text_projection.bias"))
    with torch.inference_mode():
        expected = model(
            decoder_input_ids=tokens.flatten(0, 1),
            encoder_outputs=(hidden,),
            attention_mask=mask.long(),
        ).logits.unflatten(0, (2, -1))
    torch.testing.assert_close(plain_logits(lm, state, tokens, condition, mask), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("stereo", [False, True], ids=["mono", "stereo"])
@pytest.mark.parametrize("text_dim", [20, 24], ids=["projected text", "text of the same width"])
def test_logits_equal_transformers(tmp_path: Path, stereo: bool, text_dim: int) -> None:
    model = save_musicgen(tmp_path, stereo=stereo, text_dim=text_dim)
    assert_logits_equal(read(tmp_path), model)


def test_a_shared_export() -> None:
    """Of another version of transformers."""
    from transformers import MusicgenForConditionalGeneration

    folder = reference_folder("onnx/torch_model")
    model = MusicgenForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").eval()
    checkpoint = read(folder)
    assert_logits_equal(checkpoint, model)
    codes = torch.randint(64, (2, 4, 21), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = model.audio_encoder.decode(codes.unsqueeze(0), [None]).audio_values
    sound = Codec(checkpoint.shape, checkpoint.codec_state).decode(codes)
    torch.testing.assert_close(sound, expected, atol=1e-6, rtol=0)


def test_shape(tmp_path: Path) -> None:
    save_musicgen(tmp_path)
    shape = read(tmp_path).shape
    assert (shape.lm.dim, shape.lm.num_layers, shape.lm.num_heads, shape.lm.ffn_dim) == (24, 2, 3, 40)
    assert (shape.lm.card, shape.lm.delays, shape.lm.text_dim) == (64, (0, 1, 2), 20)
    assert (shape.sample_rate, shape.channels, shape.frame_rate_hz) == (3000, 1, 200)
    assert (shape.codec.n_q, shape.codec.codebook_size, shape.codec.pad_mode) == (3, 64, "reflect")
    assert (shape.codec.true_skip, shape.codec.causal, shape.codec.num_lstm_layers) == (False, False, 1)
    assert (shape.guidance, shape.segment_seconds, shape.extend_stride_seconds) == (2.5, 4.0, 2.0)
    assert (shape.top_k, shape.top_p, shape.temperature) == (250, 0.0, 1.0)


def test_generation_settings(tmp_path: Path) -> None:
    save_musicgen(tmp_path)
    settings = {"top_k": 0, "top_p": 1.0, "temperature": 0.7, "guidance_scale": None}
    (tmp_path / GENERATION_FILE).write_text(json.dumps(settings))
    shape = read(tmp_path).shape
    assert (shape.top_k, shape.top_p, shape.temperature, shape.guidance) == (0, 0.0, 0.7, 3.0)
    assert (shape.segment_seconds, shape.extend_stride_seconds) == (30.0, 18.0)
    (tmp_path / GENERATION_FILE).unlink()
    assert read(tmp_path).shape.guidance == 3.0


@pytest.mark.parametrize("stereo", [False, True], ids=["mono", "stereo"])
def test_sound_equals_transformers(tmp_path: Path, stereo: bool) -> None:
    """Within 1e-5 of its peak; both ways."""
    model = save_musicgen(tmp_path, stereo=stereo)
    checkpoint = read(tmp_path)
    codec = Codec(checkpoint.shape, checkpoint.codec_state)
    codes = torch.randint(64, (2, 6 if stereo else 3, 11), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        sides = [codes[:, side::2] for side in (0, 1)] if stereo else [codes]
        decoded = [model.audio_encoder.decode(side.unsqueeze(0), [None]).audio_values for side in sides]
        expected = torch.cat(decoded, dim=1)
        encoded = [model.audio_encoder.encode(side, bandwidth=3.7).audio_codes[0] for side in decoded]
    sound = codec.decode(codes)
    assert sound.shape == (2, 2 if stereo else 1, 165)
    torch.testing.assert_close(sound, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    again = codec.encode(expected)
    assert checkpoint.shape.lm.delays == ((0, 0, 1, 1, 2, 2) if stereo else (0, 1, 2))
    for side, theirs in enumerate(encoded):
        assert torch.equal(again[:, side::2] if stereo else again, theirs)


def test_a_codec_by_itself(tmp_path: Path) -> None:
    model = save_musicgen(tmp_path / "whole")
    model.audio_encoder.save_pretrained(tmp_path / "codec")
    alone = read_encodec_checkpoint(find_checkpoint(str(tmp_path / "codec"), stem="model"))
    whole = read(tmp_path / "whole")
    assert alone.shape == whole.shape.codec
    assert alone.state.keys() == whole.codec_state.keys()
    assert all(torch.equal(alone.state[name], tensor) for name, tensor in whole.codec_state.items())


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("decoder.scale_embedding", True, "decoder.scale_embedding is True, and only False is supported"),
        ("decoder.activation_function", "relu", "activation_function is 'relu', and only 'gelu'"),
        ("decoder.num_hidden_layers", 3, "it has no weights for layers.2"),
        ("decoder.ffn_dim", 41, r"ffn_in.weight is \[40, 24\], expected \[41, 24\]"),
        ("decoder.vocab_size", 32, "has 32 codes in a codebook and the codec 64"),
        ("audio_encoder.chunk_length_s", 1.0, "codecs that cut clips into chunks are not supported"),
        ("audio_encoder.pad_mode", "circular", "pad_mode: Input should be 'constant', 'reflect' or 'replicate'"),
        ("audio_encoder.codebook_dim", 6, "codebook_dim is 6 and hidden_size 12"),
        ("audio_encoder.norm_type", "none", "config.json is no MusicgenConfig: .*norm_type must be one of"),
        ("model_type", "bark", "holds a bark, expected a musicgen"),
    ],
)
def test_what_is_not_built_here_is_refused_by_name(tmp_path: Path, key: str, value: object, said: str) -> None:
    save_musicgen(tmp_path)
    change_config(tmp_path, key, value)
    with pytest.raises(ValueError, match=said) as error:
        read(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_positions_that_older_files_hold_are_passed_over(tmp_path: Path) -> None:
    save_musicgen(tmp_path)
    path = tmp_path / "model.safetensors"
    positions = {"decoder.model.decoder.embed_positions.weights": torch.zeros(64, 24)}
    save_file(load_file(path) | positions, path, metadata={"format": "pt"})
    assert "positions" not in "".join(read(tmp_path).lm_state)


def test_a_file_that_was_cut_short(tmp_path: Path) -> None:
    save_musicgen(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"model.safetensors \(\d+ bytes\) is cut short or damaged: fetch it again"):
        read(tmp_path)
