"""Writes files as audiocraft exports them, of other models than the reference, and computes them plainly.

Names and order of tensors follow audiocraft's modules (SEANetEncoder, SEANetDecoder, LMModel); sizes, rates, delays and
paddings are the test's.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Codec:
    """Settings of a codec, by audiocraft's names."""

    sample_rate: int = 6_000
    channels: int = 1
    dimension: int = 12
    n_filters: int = 4
    n_residual_layers: int = 2
    ratios: tuple[int, ...] = (5, 3, 2)
    norm: str = "weight_norm"
    kernel_size: int = 5
    last_kernel_size: int = 3
    residual_kernel_size: int = 3
    dilation_base: int = 3
    causal: bool = False
    pad_mode: str = "reflect"
    true_skip: bool = False
    compress: int = 2
    lstm: int = 1
    trim_right_ratio: float = 1.0
    disable_norm_outer_blocks: int = 0
    n_q: int = 3
    bins: int = 48
    renormalize: bool = False

    @property
    def widths(self) -> list[int]:
        """Channels of the decoder's stages, the widest first."""
        return [self.n_filters * 2**power for power in range(len(self.ratios), -1, -1)]


@dataclass(frozen=True, kw_only=True)
class Lm:
    """Settings of a language model, by audiocraft's names."""

    dim: int = 24
    num_layers: int = 2
    num_heads: int = 3
    hidden_scale: float = 2.5
    card: int = 48
    delays: tuple[int, ...] = (0, 2, 5)
    text_dim: int = 20
    bias: bool = False
    nested: bool = False
    sample_rate: int = 6_000
    changes: dict[str, Any] = field(default_factory=dict)
    """By dotted key: settings to overwrite, or to take away where None is given."""


class Weights:
    """Draws tensors of a state in turn."""

    def __init__(self, seed: int) -> None:
        self.state: State = {}
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self, name: str, *shape: int, scale: float = 0.3, around: float = 0.0) -> None:
        self.state[name] = torch.randn(shape, generator=self._generator) * scale + around


def codec_state(codec: Codec, seed: int = 0) -> State:
    """Tensors of a codec by audiocraft's names."""
    weights = Weights(seed)
    blocks = len(codec.ratios) + 2

    def convolution(
        name: str, outer: int, inner: int, kernel: int, *, norm: bool = True, gain: int | None = None
    ) -> None:
        """One [outer, inner, kernel], with its norm; `gain` channels come out where that is not `outer`."""
        out = gain or outer
        weights.draw(f"{name}.bias", out, scale=0.1)
        if codec.norm == "weight_norm" and norm:
            weights.draw(f"{name}.weight_g", outer, 1, 1, around=1.0)
            weights.draw(f"{name}.weight_v", outer, inner, kernel)
        else:
            weights.draw(f"{name}.weight", outer, inner, kernel, scale=(inner * kernel) ** -0.5)
        if codec.norm == "time_group_norm":
            place = name.rpartition(".")[0] + ".norm"
            weights.draw(f"{place}.weight", out, around=1.0)
            weights.draw(f"{place}.bias", out)

    def residual(name: str, width: int, *, norm: bool) -> None:
        hidden = width // codec.compress
        convolution(f"{name}.block.1.conv.conv", hidden, width, codec.residual_kernel_size, norm=norm)
        convolution(f"{name}.block.3.conv.conv", width, hidden, 1, norm=norm)
        if not codec.true_skip:
            convolution(f"{name}.shortcut.conv.conv", width, width, 1, norm=norm)

    def lstm(name: str, width: int) -> None:
        for layer in range(codec.lstm):
            for kind in ("ih", "hh"):
                weights.draw(f"{name}.weight_{kind}_l{layer}", 4 * width, width, scale=width**-0.5)
                weights.draw(f"{name}.bias_{kind}_l{layer}", 4 * width)

    off, widths = codec.disable_norm_outer_blocks, codec.widths
    convolution("encoder.model.0.conv.conv", codec.n_filters, codec.channels, codec.kernel_size, norm=off < 1)
    place = 1
    for stage, ratio in enumerate(reversed(codec.ratios)):
        width, norm = widths[-1 - stage], off < stage + 2
        for _ in range(codec.n_residual_layers):
            residual(f"encoder.model.{place}", width, norm=norm)
            place += 1
        convolution(f"encoder.model.{place + 1}.conv.conv", 2 * width, width, 2 * ratio, norm=norm)
        place += 2
    if codec.lstm:
        lstm(f"encoder.model.{place}.lstm", widths[0])
        place += 1
    last = f"encoder.model.{place + 1}.conv.conv"
    convolution(last, codec.dimension, widths[0], codec.last_kernel_size, norm=off < blocks)

    convolution("decoder.model.0.conv.conv", widths[0], codec.dimension, codec.kernel_size, norm=off < blocks)
    place = 1
    if codec.lstm:
        lstm("decoder.model.1.lstm", widths[0])
        place = 2
    for stage, ratio in enumerate(codec.ratios):
        width, norm = widths[stage], off < blocks - (stage + 1)
        name = f"decoder.model.{place + 1}.convtr.convtr"
        convolution(name, width, width // 2, 2 * ratio, norm=norm, gain=width // 2)
        place += 2
        for _ in range(codec.n_residual_layers):
            residual(f"decoder.model.{place}", width // 2, norm=norm)
            place += 1
    last = f"decoder.model.{place + 1}.conv.conv"
    convolution(last, codec.channels, codec.n_filters, codec.last_kernel_size, norm=off < 1)
    for k in range(codec.n_q):
        name = f"quantizer.vq.layers.{k}._codebook"
        weights.draw(f"{name}.embed", codec.bins, codec.dimension)
        weights.state |= {f"{name}.inited": torch.ones(1), f"{name}.cluster_size": torch.ones(codec.bins)}
        weights.state[f"{name}.embed_avg"] = weights.state[f"{name}.embed"].clone()
    return weights.state


def lm_state(lm: Lm, seed: int = 0) -> State:
    """Tensors of a language model by audiocraft's names, in float16 as they are published."""
    weights, dim, hidden = Weights(seed), lm.dim, int(lm.dim * lm.hidden_scale)

    def matrix(name: str, outer: int, inner: int, *, bias: bool, joint: str = ".") -> None:
        weights.draw(f"{name}{joint}weight", outer, inner)
        if bias:
            weights.draw(f"{name}{joint}bias", outer)

    def norm(name: str) -> None:
        weights.draw(f"{name}.weight", dim, around=1.0)
        weights.draw(f"{name}.bias", dim)

    matrix("condition_provider.conditioners.caption.output_proj", dim, lm.text_dim, bias=True)
    for k in range(len(lm.delays)):
        weights.draw(f"emb.{k}.weight", lm.card + 1, dim)
        matrix(f"linears.{k}", lm.card, dim, bias=lm.bias)
    for i in range(lm.num_layers):
        layer = f"transformer.layers.{i}"
        for attention in ("self_attn", "cross_attention"):
            name = f"{layer}.{attention}.mha" if lm.nested else f"{layer}.{attention}"
            matrix(f"{name}.in_proj", 3 * dim, dim, bias=lm.bias, joint="_")
            matrix(f"{name}.out_proj", dim, dim, bias=lm.bias)
        matrix(f"{layer}.linear1", hidden, dim, bias=lm.bias)
        matrix(f"{layer}.linear2", dim, hidden, bias=lm.bias)
        for name in ("norm1", "norm_cross", "norm2"):
            norm(f"{layer}.{name}")
    norm("out_norm")
    return {name: tensor.half() for name, tensor in weights.state.items()}


def codec_config(codec: Codec) -> dict[str, Any]:
    """Settings as a training run dumps them, references unresolved."""
    own = {name: value for name, value in vars(codec).items() if name in _SEANET}
    return {
        "device": "cuda",
        "dora": {"dir": "/somewhere/${oc.env:NO_SUCH_VARIABLE}"},
        "datasource": {"train": "???"},
        "sample_rate": codec.sample_rate,
        "channels": codec.channels,
        "compression_model": "encodec",
        "encodec": {
            "autoencoder": "seanet",
            "quantizer": "rvq",
            "sample_rate": "${sample_rate}",
            "channels": "${channels}",
            "causal": codec.causal,
            "renormalize": codec.renormalize,
        },
        "seanet": own
        | {
            "ratios": list(codec.ratios),
            "channels": "${channels}",
            "causal": "${encodec.causal}",
            "activation": "ELU",
            "activation_params": {"alpha": 1.0},
            "norm_params": {},
            "decoder": {"trim_right_ratio": codec.trim_right_ratio, "final_activation": None},
            "encoder": {},
        },
        "rvq": {"n_q": codec.n_q, "bins": codec.bins, "q_dropout": False},
    }


_SEANET = {
    *("dimension", "n_filters", "n_residual_layers", "norm", "kernel_size", "last_kernel_size"),
    *("residual_kernel_size", "dilation_base", "pad_mode", "true_skip", "compress", "lstm"),
    "disable_norm_outer_blocks",
}


def lm_config(lm: Lm) -> dict[str, Any]:
    """Settings as a training run dumps them, references unresolved."""
    config: dict[str, Any] = {
        "solver": "audiogen",
        "sample_rate": lm.sample_rate,
        "channels": 1,
        "dataset": {"segment_duration": 8},
        "generate": {"lm": {"temp": 0.9, "top_k": 40, "top_p": 0.25}, "audio": {"sample_rate": "${sample_rate}"}},
        "classifier_free_guidance": {"training_dropout": 0.1, "inference_coef": 4.5},
        "conditioners": {"caption": {"model": "t5", "t5": {"name": "t5-base", "finetune": False}}},
        "fuser": {
            "cross_attention_pos_emb": False,
            "sum": [],
            "prepend": [],
            "cross": ["caption"],
            "input_interpolate": [],
        },
        "lm_model": "transformer_lm",
        "codebooks_pattern": {
            "modeling": "delay",
            "delay": {"delays": list(lm.delays), "flatten_first": 0, "empty_initial": 0},
        },
        "transformer_lm": {
            "dim": lm.dim,
            "num_heads": lm.num_heads,
            "num_layers": lm.num_layers,
            "hidden_scale": lm.hidden_scale,
            "n_q": len(lm.delays),
            "card": lm.card,
            "activation": "gelu",
            "norm_first": True,
            "causal": True,
            "positional_embedding": "sin",
            "cross_attention": False,
        },
    }
    for key, value in lm.changes.items():
        node, (*parents, name) = config, key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        if value is None:
            node.pop(name, None)
        else:
            node[name] = value
    return config


def write_file(path: Path, config: dict[str, Any], state: State) -> Path:
    """Writes one file as old exports are: without the entries `version` and `exported`."""
    torch.save({"best_state": state, "xp.cfg": yaml.safe_dump(config)}, path)
    return path


def write_checkpoint(folder: Path, *, lm: Lm | None = None, codec: Codec | None = None, seed: int = 0) -> Path:
    """Writes both files; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lm, codec = lm or Lm(), codec or Codec()
    write_file(folder / "state_dict.bin", lm_config(lm), lm_state(lm, seed))
    write_file(folder / "compression_state_dict.bin", codec_config(codec), codec_state(codec, seed))
    return folder
