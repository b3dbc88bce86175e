"""audiocraft's files give their shape and their tensors, and what is wrong with them is named."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.workers.models.audiogen.checkpoints import (
    Codec,
    Lm,
    codec_config,
    codec_state,
    lm_state,
    write_checkpoint,
    write_file,
)
from tests.workers.models.audiogen.plain_lm import plain_logits
from tests.workers.models.audiogen.references import reference, reference_folder
from workers.models.audiogen.audiocraft_checkpoint import read_audiocraft_checkpoint
from workers.models.audiogen.lm_state import lm_state_shapes

LM, CODEC = "state_dict.bin", "compression_state_dict.bin"


def test_reference_checkpoint() -> None:
    checkpoint = read_audiocraft_checkpoint(reference_folder("ckpt_A"))
    shape, lm, codec = checkpoint.shape, checkpoint.shape.lm, checkpoint.shape.codec
    assert (lm.dim, lm.num_layers, lm.num_heads, lm.ffn_dim) == (48, 3, 4, 192)
    assert (lm.card, lm.delays, lm.text_dim) == (512, (0, 1, 2, 3), 512)
    assert (shape.sample_rate, shape.channels, shape.frame_rate_hz, shape.segment_seconds) == (16_000, 1, 50, 3.0)
    assert (shape.guidance, shape.top_k, shape.top_p, shape.temperature) == (3.0, 250, 0.0, 1.0)
    assert (shape.text_encoder, shape.extend_stride_seconds) == ("t5-small", 2.0)
    assert (codec.n_filters, codec.dimension, codec.ratios, codec.pad_mode) == (8, 32, (8, 5, 4, 2), "constant")
    assert (codec.causal, codec.true_skip, codec.num_lstm_layers, codec.n_q) == (False, True, 2, 4)


def test_logits_equal_audiocrafts() -> None:
    """Of the language model written out, from these tensors; within 1e-5."""
    checkpoint, expected = read_audiocraft_checkpoint(reference_folder("ckpt_A")), reference("A_logits.pt")
    state = {name: tensor.float() for name, tensor in checkpoint.lm_state.items()}
    logits = plain_logits(checkpoint.shape.lm, state, expected["tokens"], expected["cond"])
    torch.testing.assert_close(logits, expected["logits"], atol=1e-5, rtol=0)


def test_projection_of_text_equals_audiocrafts() -> None:
    """Of null rows too, which are zeros; within 1e-6, for a batch multiplies in another order."""
    text = reference("A_text.pt")
    state = read_audiocraft_checkpoint(reference_folder("ckpt_A")).lm_state
    weight, bias = state["text_projection.weight"].float(), state["text_projection.bias"].float()
    projected = torch.nn.functional.linear(text["t5_last_hidden"], weight, bias) * text["cond_mask"].unsqueeze(-1)
    torch.testing.assert_close(projected, text["cond"], atol=1e-6, rtol=0)


def test_nothing_is_taken_for_granted(tmp_path: Path) -> None:
    """Every value differs from AudioGen's, and comes from the file."""
    changes = {"transformer_lm.max_period": 500, "transformer_lm.positional_scale": 0.5}
    shape = read_audiocraft_checkpoint(write_checkpoint(tmp_path, lm=Lm(changes=changes))).shape
    assert shape.model_dump() == {
        "lm": {
            "dim": 24,
            "num_layers": 2,
            "num_heads": 3,
            "ffn_dim": 60,
            "card": 48,
            "delays": (0, 2, 5),
            "text_dim": 20,
            "activation": "gelu",
            "max_period": 500.0,
            "positional_scale": 0.5,
        },
        "codec": {
            "sample_rate": 6000,
            "channels": 1,
            "ratios": (5, 3, 2),
            "dimension": 12,
            "n_filters": 4,
            "n_residual_layers": 2,
            "kernel_size": 5,
            "residual_kernel_size": 3,
            "last_kernel_size": 3,
            "dilation_base": 3,
            "compress": 2,
            "num_lstm_layers": 1,
            "causal": False,
            "pad_mode": "reflect",
            "true_skip": False,
            "norm": "weight_norm",
            "trim_right_ratio": 1.0,
            "renormalize": False,
            "codebook_size": 48,
            "n_q": 3,
        },
        "sample_rate": 6000,
        "channels": 1,
        "frame_rate_hz": 200,
        "segment_seconds": 8.0,
        "extend_stride_seconds": 2.0,
        "guidance": 4.5,
        "top_k": 40,
        "top_p": 0.25,
        "temperature": 0.9,
        "text_encoder": "t5-base",
    }


@pytest.mark.parametrize("lm", [Lm(), Lm(bias=True, nested=True)], ids=["as published", "biases, nested attention"])
def test_tensors_keep_their_values_and_types(tmp_path: Path, lm: Lm) -> None:
    checkpoint = read_audiocraft_checkpoint(write_checkpoint(tmp_path, lm=lm))
    state, theirs = checkpoint.lm_state, lm_state(lm)
    required = lm_state_shapes(checkpoint.shape.lm)
    assert {name: tuple(state[name].shape) for name in required} == required
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    assert sum(tensor.numel() for tensor in state.values()) == sum(tensor.numel() for tensor in theirs.values())
    inner = "mha." if lm.nested else ""
    cross = theirs[f"transformer.layers.1.cross_attention.{inner}in_proj_weight"]
    expected = {
        "embeddings.2": theirs["emb.2.weight"],
        "text_projection.weight": theirs["condition_provider.conditioners.caption.output_proj.weight"],
        "text_projection.bias": theirs["condition_provider.conditioners.caption.output_proj.bias"],
        "layers.1.qkv.weight": theirs[f"transformer.layers.1.self_attn.{inner}in_proj_weight"],
        "layers.1.attention_out.weight": theirs[f"transformer.layers.1.self_attn.{inner}out_proj.weight"],
        "layers.1.cross_q.weight": cross[:24],
        "layers.1.cross_kv.weight": cross[24:],
        "layers.1.cross_out.weight": theirs[f"transformer.layers.1.cross_attention.{inner}out_proj.weight"],
        "layers.0.ffn_in.weight": theirs["transformer.layers.0.linear1.weight"],
        "layers.0.ffn_out.weight": theirs["transformer.layers.0.linear2.weight"],
        "layers.0.norm1.bias": theirs["transformer.layers.0.norm1.bias"],
        "layers.0.norm_cross.weight": theirs["transformer.layers.0.norm_cross.weight"],
        "layers.0.norm2.weight": theirs["transformer.layers.0.norm2.weight"],
        "out_norm.weight": theirs["out_norm.weight"],
        "heads.weight": torch.cat([theirs[f"linears.{k}.weight"] for k in range(3)]),
    }
    if lm.bias:
        bias = theirs["transformer.layers.1.cross_attention.mha.in_proj_bias"]
        expected |= {
            "layers.1.cross_kv.bias": bias[24:],
            "layers.0.ffn_in.bias": theirs["transformer.layers.0.linear1.bias"],
            "heads.bias": torch.cat([theirs[f"linears.{k}.bias"] for k in range(3)]),
        }
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize(
    ("changes", "delays"),
    [
        ({"codebooks_pattern.delay.delays": None}, (0, 1, 2)),
        ({"codebooks_pattern": {"modeling": "parallel"}}, (0, 0, 0)),
        ({"codebooks_pattern": {"modeling": None}, "transformer_lm.q_modeling": "delay"}, (0, 1, 2)),
    ],
    ids=["none given", "parallel", "as old files say"],
)
def test_delays(tmp_path: Path, changes: dict[str, Any], delays: tuple[int, ...]) -> None:
    shape = read_audiocraft_checkpoint(write_checkpoint(tmp_path, lm=Lm(changes=changes))).shape
    assert shape.lm.delays == delays


@pytest.mark.parametrize(
    ("changes", "stride"),
    [
        ({}, 2.0),
        ({"solver": "musicgen", "dataset.segment_duration": 30}, 18.0),
        ({"dataset.segment_duration": 1.5}, 0.75),
    ],
    ids=["AudioGen", "MusicGen", "windows that are too short for it"],
)
def test_stride_of_longer_clips(tmp_path: Path, changes: dict[str, Any], stride: float) -> None:
    shape = read_audiocraft_checkpoint(write_checkpoint(tmp_path, lm=Lm(changes=changes))).shape
    assert shape.extend_stride_seconds == stride


def test_audiocrafts_defaults_where_the_file_has_none(tmp_path: Path) -> None:
    changes = {"generate": None, "classifier_free_guidance": None}
    shape = read_audiocraft_checkpoint(write_checkpoint(tmp_path, lm=Lm(changes=changes))).shape
    assert (shape.guidance, shape.top_k, shape.top_p, shape.temperature) == (3.0, 250, 0.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"transformer_lm.norm_first": None}, r"norm_first is False, and only True is supported"),
        ({"transformer_lm.activation": "relu"}, "activation is 'relu', and only 'gelu'"),
        ({"transformer_lm.positional_embedding": "rope"}, "positional_embedding is 'rope', and only 'sin'"),
        ({"transformer_lm.qk_layer_norm": True}, "qk_layer_norm is True, and only False"),
        ({"transformer_lm.layer_scale": 0.1}, "layer_scale is 0.1, and only None"),
        ({"transformer_lm.past_context": 100}, "past_context is 100, and only None"),
        ({"lm_model": "transformer_lm_magnet"}, "lm_model is 'transformer_lm_magnet', and only 'transformer_lm'"),
        ({"fuser.prepend": ["self_wav"]}, r"fuser.prepend is \['self_wav'\], and only \[\]"),
        ({"fuser.cross": []}, r"fuser.cross is \[\], expected one condition: a text"),
        ({"conditioners.caption.model": "clap"}, "conditioners.caption.model is 'clap', and only 't5'"),
        ({"conditioners.caption.t5.finetune": True}, "t5.finetune is True, and only False"),
        ({"codebooks_pattern.modeling": "unroll"}, "modeling is 'unroll', expected 'delay' or 'parallel'"),
        ({"codebooks_pattern.delay.flatten_first": 1}, "flatten_first is 1, and only 0"),
        ({"codebooks_pattern.delay.delays": [0, 2]}, r"delays is \[0, 2\], expected 3 rising numbers"),
        ({"codebooks_pattern.delay.delays": [0, 2, 1]}, r"delays is \[0, 2, 1\], expected 3 rising numbers"),
        ({"interleave_stereo_codebooks": {"use": True, "per_timestep": True}}, "per_timestep is True, and only False"),
        ({"transformer_lm.dim": "???"}, r"transformer_lm.dim is \?\?\?, which stands for a value that was never given"),
        (
            {"transformer_lm.dim": "${nowhere}"},
            "cannot resolve transformer_lm.dim: .* 'nowhere' not found",
        ),
        ({"transformer_lm.dim": 24.0}, "transformer_lm.dim is 24.0, expected a value of type int"),
        (
            {"transformer_lm.dim": 26},
            r"does not fit its settings: .* is \[49, 24\], expected \[49, 26\]",
        ),
        ({"transformer_lm.num_layers": 3}, "it has no weights for layers.2.attention_out.weight, .* and 10 more"),
        ({"transformer_lm.num_layers": 1}, "nothing takes its transformer.layers.1"),
        ({"transformer_lm.card": 40}, "has 40 codes in a codebook and the codec 48: give the codec"),
        ({"sample_rate": 8000}, "one of 8000 Hz and the codec of 6000 Hz: give the codec"),
        ({"channels": 2, "interleave_stereo_codebooks.use": None}, "3 codebooks for 2 channel"),
    ],
)
def test_what_is_not_built_here_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    folder = write_checkpoint(tmp_path, lm=Lm(changes=changes))
    with pytest.raises(ValueError, match=said) as error:
        read_audiocraft_checkpoint(folder)
    assert str(folder / LM) in str(error.value)


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        (Codec(norm="spectral_norm"), "seanet.norm is 'spectral_norm', expected 'none'"),
        (Codec(pad_mode="circular"), "seanet.pad_mode is 'circular', expected 'constant'"),
        (Codec(bins=47), "has 48 codes in a codebook and the codec 47"),
        (Codec(n_q=2), r"has 3 codebooks for 1 channel\(s\), and the codec 2 for 1"),
        (Codec(channels=2), r"has 1 channel\(s\) and the codec 2"),
        (Codec(ratios=(7, 3, 2)), "6000 Hz and 42 samples per frame do not make 142 frames per second"),
    ],
)
def test_codecs_that_do_not_fit_are_refused(tmp_path: Path, codec: Codec, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_audiocraft_checkpoint(write_checkpoint(tmp_path, codec=codec))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("compression_model", "dac", "compression_model is 'dac', and only 'encodec'"),
        ("rvq", {"bins": 48}, "rvq.n_q is None, expected a value of type int"),
        ("seanet", None, "seanet.norm is None, expected a value of type str"),
    ],
)
def test_codec_settings_that_are_not_built_here(tmp_path: Path, key: str, value: object, said: str) -> None:
    folder = write_checkpoint(tmp_path)
    write_file(folder / CODEC, codec_config(Codec()) | {key: value}, codec_state(Codec()))
    with pytest.raises(ValueError, match=said):
        read_audiocraft_checkpoint(folder)


@pytest.mark.parametrize("name", [LM, CODEC])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"no {name} in .*: expected state_dict.bin and compression_state_dict.bin"):
        read_audiocraft_checkpoint(folder)


@pytest.mark.parametrize("name", [LM, CODEC])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_file_that_was_cut_short(tmp_path: Path, name: str, share: float) -> None:
    folder = write_checkpoint(tmp_path)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=rf"{name} .*damaged.*: fetch it again"):
        read_audiocraft_checkpoint(folder)


class Attack:
    """Would create a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint")
    torch.save({"best_state": {}, "xp.cfg": "", "extra": Attack(tmp_path / "attacked")}, folder / LM)
    with pytest.raises(ValueError, match="holds more than tensors and text and might run code when loaded"):
        read_audiocraft_checkpoint(folder)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ([1], r"holds a list, expected what audiocraft exports"),
        ({"model": {}}, r"has the entries model, expected best_state and xp\.cfg"),
        ({"best_state": {"a": 1}, "xp.cfg": ""}, "best_state has no tensor under a"),
        ({"best_state": {}, "xp.cfg": "a: [1"}, "its xp.cfg is not YAML that OmegaConf reads"),
        ({"best_state": {}, "xp.cfg": "- 1"}, "its xp.cfg is a ListConfig, expected settings by name"),
        ({"pretrained": "facebook/other"}, "state_dict.bin only names facebook/other: give that model instead"),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, package: object, said: str) -> None:
    folder = write_checkpoint(tmp_path)
    torch.save(package, folder / LM)
    with pytest.raises(ValueError, match=said):
        read_audiocraft_checkpoint(folder)


def test_old_formats_of_torch_are_read(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    expected = read_audiocraft_checkpoint(folder).lm_state
    package = torch.load(folder / LM, weights_only=True)
    torch.save(package, folder / LM, _use_new_zipfile_serialization=False)
    state = read_audiocraft_checkpoint(folder).lm_state
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_a_codec_that_is_only_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    torch.save({"pretrained": "facebook/encodec_32khz", "exported": True}, folder / CODEC)
    with pytest.raises(
        ValueError, match="holds no codec and names facebook/encodec_32khz: set codec to a folder of that model"
    ):
        read_audiocraft_checkpoint(folder)
