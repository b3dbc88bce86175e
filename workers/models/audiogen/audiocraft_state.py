"""From audiocraft's names of tensors to those of `lm_state` and `codec_state`, in the types of the file.

Of a codec:

```
encoder.model.0.conv.conv.weight_g, .weight_v   →   encoder.layers.0.conv.weight
decoder.model.3.convtr.convtr.bias              →   decoder.layers.3.conv.bias
decoder.model.1.lstm.weight_ih_l0               →   decoder.layers.1.lstm.weight_ih_l0
quantizer.vq.layers.2._codebook.embed           →   quantizer.layers.2.codebook.embed
```
"""

import re

import torch

from workers.models.audiogen.audiocraft_file import AudiocraftFile
from workers.models.audiogen.audiocraft_shape import text_condition
from workers.models.audiogen.codec_state import CodecState, inference_state
from workers.models.audiogen.lm_spec import LmSpec
from workers.models.audiogen.lm_state import LmState, check_lm_state

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
    return inference_state({_codec_name(name): tensor for name, tensor in file.state.items()})


def _codec_name(name: str) -> str:
    for pattern, replacement in _CODEC_NAMES:
        name = pattern.sub(replacement, name)
    return name
