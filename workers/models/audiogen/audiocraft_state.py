"""From audiocraft's names of tensors to ours, in the types of the file.

A language model's are those of `lm_state`. A codec's are those of transformers' `EncodecModel`, with every weight norm
folded into the weight that it makes:

```
encoder.model.0.conv.conv.weight_g, .weight_v   →   encoder.layers.0.conv.weight
decoder.model.3.convtr.convtr.bias              →   decoder.layers.3.conv.bias
decoder.model.1.lstm.weight_ih_l0               →   decoder.layers.1.lstm.weight_ih_l0
quantizer.vq.layers.2._codebook.embed           →   quantizer.layers.2.codebook.embed
```
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from workers.models.audiogen.audiocraft_file import AudiocraftFile
from workers.models.audiogen.audiocraft_shape import text_condition
from workers.models.audiogen.lm_spec import LmSpec
from workers.models.audiogen.lm_state import LmState, check_lm_state

CodecState = dict[str, Tensor]

# Of a layer: our name, and audiocraft's.
_LAYER = {
    "norm1.{}": "norm1.{}",
    "norm_cross.{}": "norm_cross.{}",
    "norm2.{}": "norm2.{}",
    "attention_out.{}": "self_attn.out_proj.{}",
    "cross_out.{}": "cross_attention.out_proj.{}",
    "ffn_in.{}": "linear1.{}",
    "ffn_out.{}": "linear2.{}",
    "qkv.{}": "self_attn.in_proj_{}",
}

_CODEC_NAMES = (
    (re.compile(r"^(encoder|decoder)\.model\."), r"\1.layers."),
    (re.compile(r"\.(?:conv\.conv|convtr\.convtr)\."), ".conv."),
    (re.compile(r"\.(?:conv|convtr)\.norm\."), ".norm."),
    (re.compile(r"^quantizer\.vq\.layers\.(\d+)\._codebook\."), r"quantizer.layers.\1.codebook."),
)
_TRAINING_ONLY = re.compile(r"\.codebook\.(?:inited|cluster_size|embed_avg)$")


def lm_state(file: AudiocraftFile, spec: LmSpec) -> LmState:
    """The language model's tensors; views of the file's where they can be.

    Raises:
        ValueError: They do not have the shape; the message names what differs.
    """
    # Attention that was not set to be audiocraft's own has its weights one level deeper.
    left = {re.sub(r"\.(self_attn|cross_attention)\.mha\.", r".\1.", name): x for name, x in file.state.items()}
    state: LmState = {}

    def take(name: str, *theirs: str) -> None:
        if all(their in left for their in theirs):
            parts = [left.pop(their) for their in theirs]
            state[name] = parts[0] if len(parts) == 1 else torch.cat(parts)

    for k in range(spec.num_codebooks):
        take(f"embeddings.{k}", f"emb.{k}.weight")
    projection = f"condition_provider.conditioners.{text_condition(file.config)}.output_proj"
    for kind in ("weight", "bias"):
        take(f"text_projection.{kind}", f"{projection}.{kind}")
        take(f"out_norm.{kind}", f"out_norm.{kind}")
        take(f"heads.{kind}", *(f"linears.{k}.{kind}" for k in range(spec.num_codebooks)))
        for i in range(spec.num_layers):
            for ours, theirs in _LAYER.items():
                take(f"layers.{i}.{ours.format(kind)}", f"transformer.layers.{i}.{theirs.format(kind)}")
            cross = left.pop(f"transformer.layers.{i}.cross_attention.in_proj_{kind}", None)
            if cross is not None:
                state[f"layers.{i}.cross_q.{kind}"] = cross[: spec.dim]
                state[f"layers.{i}.cross_kv.{kind}"] = cross[spec.dim :]
    check_lm_state(state | left, spec, source=str(file.path))
    return state


def codec_state(file: AudiocraftFile) -> CodecState:
    """The codec's tensors, without what only its training needs."""
    return fold_weight_norm({_codec_name(name): tensor for name, tensor in file.state.items()})


def fold_weight_norm(state: Mapping[str, Tensor]) -> CodecState:
    """Put the weights where weight norm (https://doi.org/10.48550/arXiv.1602.07868) keeps gains g and directions v.

    Args:
        state: With `<layer>.weight_g` [C, 1, 1] and `<layer>.weight_v` [C, ...], or the same under torch's newer
            names; other tensors are passed on, but for those of a codebook that only training needs.

    Returns:
        With `<layer>.weight` = g v / ‖v‖ instead, where the norm is over all but the first axis.
    """
    folded: CodecState = {}
    for name, tensor in state.items():
        old = name.replace(".parametrizations.weight.original0", ".weight_g")
        old = old.replace(".parametrizations.weight.original1", ".weight_v")
        if old.endswith(".weight_v"):
            layer = old.removesuffix(".weight_v")
            gain = state.get(f"{layer}.weight_g")
            if gain is None:
                gain = state[f"{layer}.parametrizations.weight.original0"]
            folded[f"{layer}.weight"] = torch._weight_norm(tensor, gain, 0)
        elif not old.endswith(".weight_g") and not _TRAINING_ONLY.search(old):
            folded[old] = tensor
    return folded


def _codec_name(name: str) -> str:
    for pattern, replacement in _CODEC_NAMES:
        name = pattern.sub(replacement, name)
    return name
