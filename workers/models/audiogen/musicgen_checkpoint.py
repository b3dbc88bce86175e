"""MusicGen and EnCodec in the transformers format: `config.json` beside safetensors.

Tensors are read straight from the files; transformers' own classes are asked for the defaults of their configs only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from workers.models.audiogen import defaults
from workers.models.audiogen.checkpoint import AudioGenCheckpoint, CodecCheckpoint
from workers.models.audiogen.codec_state import CodecState, inference_state
from workers.models.audiogen.lm_spec import LmSpec
from workers.models.audiogen.lm_state import LmState, check_lm_state
from workers.models.audiogen.shape import AudioGenShape, EncodecShape, complaints
from workers.models.audiogen.tensors import read_tensors
from workers.models.checkpoint import Checkpoint, read_json

GENERATION_FILE = "generation_config.json"

# Of a layer: our name, and transformers'; several are stacked.
_LAYER = {
    "norm1.{}": ("self_attn_layer_norm.{}",),
    "norm_cross.{}": ("encoder_attn_layer_norm.{}",),
    "norm2.{}": ("final_layer_norm.{}",),
    "qkv.{}": ("self_attn.q_proj.{}", "self_attn.k_proj.{}", "self_attn.v_proj.{}"),
    "attention_out.{}": ("self_attn.out_proj.{}",),
    "cross_q.{}": ("encoder_attn.q_proj.{}",),
    "cross_kv.{}": ("encoder_attn.k_proj.{}", "encoder_attn.v_proj.{}"),
    "cross_out.{}": ("encoder_attn.out_proj.{}",),
    "ffn_in.{}": ("fc1.{}",),
    "ffn_out.{}": ("fc2.{}",),
}


def read_musicgen_checkpoint(checkpoint: Checkpoint) -> AudioGenCheckpoint:
    """Read a `MusicgenForConditionalGeneration`.

    Args:
        checkpoint: Its files, with `generation_config.json` beside them where there is one.

    Raises:
        ValueError: It is another model, a file is cut short or damaged, something is set that is not built here, or
            config and tensors do not fit.
    """
    codec = codec_state(checkpoint, prefix="audio_encoder.")
    shape = _musicgen_shape(checkpoint, codec)
    return AudioGenCheckpoint(
        shape=shape,
        lm_state=_lm_state(checkpoint, shape.lm),
        codec_state=codec,
    )


def read_musicgen_shape(checkpoint: Checkpoint) -> AudioGenShape:
    """Read a model's shape, without its language model's tensors.

    Raises:
        ValueError: As `read_musicgen_checkpoint`.
    """
    return _musicgen_shape(checkpoint, codec_state(checkpoint, prefix="audio_encoder."))


def read_encodec_checkpoint(checkpoint: Checkpoint) -> CodecCheckpoint:
    """Read an `EncodecModel` that stands by itself, such as `facebook/encodec_32khz`.

    Raises:
        ValueError: It is another model, a file is cut short or damaged, or something is set that is not built here.
    """
    config = _parsed("EncodecConfig", checkpoint.config, "encodec", checkpoint.folder)
    state = codec_state(checkpoint)
    shape = encodec_shape(config, state, source=str(checkpoint.folder))
    return CodecCheckpoint(shape=shape, state=state)


def codec_state(checkpoint: Checkpoint, *, prefix: str = "") -> CodecState:
    """An EnCodec's tensors, whose names begin with `prefix` in the files."""
    return inference_state(read_tensors(checkpoint.files, prefix=prefix))


def encodec_shape(config: Any, state: Mapping[str, Tensor], *, source: str) -> EncodecShape:
    """From a transformers `EncodecConfig` and its tensors, which say how many codebooks there are.

    Raises:
        ValueError: Something is set that is not built here.
    """
    if config.chunk_length_s is not None:
        raise ValueError(
            f"{source}/config.json: chunk_length_s is {config.chunk_length_s}, and codecs that cut clips into chunks "
            "are not supported"
        )
    if config.codebook_dim != config.hidden_size:
        raise ValueError(
            f"{source}/config.json: codebook_dim is {config.codebook_dim} and hidden_size {config.hidden_size}; only "
            "equal ones are supported"
        )
    settings = {
        "sample_rate": config.sampling_rate,
        "channels": config.audio_channels,
        "ratios": tuple(config.upsampling_ratios),
        "dimension": config.hidden_size,
        "n_filters": config.num_filters,
        "n_residual_layers": config.num_residual_layers,
        "kernel_size": config.kernel_size,
        "residual_kernel_size": config.residual_kernel_size,
        "last_kernel_size": config.last_kernel_size,
        "dilation_base": config.dilation_growth_rate,
        "compress": config.compress,
        "num_lstm_layers": config.num_lstm_layers,
        "causal": config.use_causal_conv,
        "pad_mode": config.pad_mode,
        "true_skip": not config.use_conv_shortcut,
        "norm": config.norm_type,
        "trim_right_ratio": config.trim_right_ratio,
        "renormalize": config.normalize,
        "codebook_size": config.codebook_size,
        "n_q": sum(name.endswith(".codebook.embed") for name in state),
    }
    try:
        return EncodecShape.model_validate(settings)
    except ValidationError as error:
        raise ValueError(f"{source}/config.json: {complaints(error)}") from error


def _musicgen_shape(checkpoint: Checkpoint, codec: CodecState) -> AudioGenShape:
    config = _parsed("MusicgenConfig", checkpoint.config, "musicgen", checkpoint.folder)
    decoder, source = config.decoder, str(checkpoint.folder)
    for key, value, only in (
        ("decoder.scale_embedding", decoder.scale_embedding, False),
        ("decoder.activation_function", decoder.activation_function, "gelu"),
    ):
        if value != only:
            raise ValueError(f"{source}/config.json: {key} is {value!r}, and only {only!r} is supported")
    codec_shape = encodec_shape(config.audio_encoder, codec, source=source)
    sides = 2 if decoder.audio_channels == 2 and codec_shape.channels == 1 else 1
    frame_rate_hz = codec_shape.sample_rate // codec_shape.hop_length
    said = {name: value for name, value in _generation(checkpoint).items() if value is not None}
    whole = defaults.MUSICGEN_SEGMENT_SECONDS
    segment_seconds = said["max_length"] / frame_rate_hz if "max_length" in said else whole
    top_p = said.get("top_p", defaults.TOP_P)
    settings = {
        "lm": {
            "dim": decoder.hidden_size,
            "num_layers": decoder.num_hidden_layers,
            "num_heads": decoder.num_attention_heads,
            "ffn_dim": decoder.ffn_dim,
            "card": decoder.vocab_size,
            "delays": tuple(k // sides for k in range(decoder.num_codebooks)),
            "text_dim": config.text_encoder.hidden_size,
            "activation": "gelu",
        },
        "codec": codec_shape,
        "sample_rate": codec_shape.sample_rate,
        "channels": 2 if sides == 2 else codec_shape.channels,
        "frame_rate_hz": frame_rate_hz,
        "segment_seconds": segment_seconds,
        "extend_stride_seconds": defaults.stride_seconds(defaults.MUSICGEN_STRIDE_SECONDS, segment_seconds),
        "guidance": said.get("guidance_scale", defaults.GUIDANCE),
        "top_k": said.get("top_k", defaults.TOP_K),
        "top_p": 0.0 if top_p == 1.0 else top_p,  # where transformers has 1 for all codes, audiocraft has 0
        "temperature": said.get("temperature", defaults.TEMPERATURE),
        "text_encoder": str(config.text_encoder.name_or_path or config.text_encoder.model_type),
    }
    try:
        return AudioGenShape.model_validate(settings)
    except ValidationError as error:
        raise ValueError(f"{source}/config.json: {complaints(error)}") from error


def _lm_state(checkpoint: Checkpoint, spec: LmSpec) -> LmState:
    left = read_tensors(checkpoint.files, prefix="decoder.")
    left.pop("model.decoder.embed_positions.weights", None)  # older files hold what can be computed
    projection = read_tensors(checkpoint.files, prefix="enc_to_dec_proj.")
    state: LmState = {f"text_projection.{kind}": tensor for kind, tensor in projection.items()}
    if not state and spec.text_dim == spec.dim:
        state["text_projection.weight"] = torch.eye(spec.dim)  # transformers projects between different widths only

    def take(name: str, *theirs: str) -> None:
        if all(their in left for their in theirs):
            parts = [left.pop(their) for their in theirs]
            state[name] = parts[0] if len(parts) == 1 else torch.cat(parts)

    for k in range(spec.num_codebooks):
        take(f"embeddings.{k}", f"model.decoder.embed_tokens.{k}.weight")
    for kind in ("weight", "bias"):
        take(f"out_norm.{kind}", f"model.decoder.layer_norm.{kind}")
        take(f"heads.{kind}", *(f"lm_heads.{k}.{kind}" for k in range(spec.num_codebooks)))
        for i in range(spec.num_layers):
            for ours, theirs in _LAYER.items():
                names = (f"model.decoder.layers.{i}.{their.format(kind)}" for their in theirs)
                take(f"layers.{i}.{ours.format(kind)}", *names)
    check_lm_state(state | left, spec, source=str(checkpoint.folder))
    return state


def _generation(checkpoint: Checkpoint) -> Mapping[str, Any]:
    path = checkpoint.folder / GENERATION_FILE
    return read_json(path) if path.is_file() else {}


def _parsed(kind: str, config: Mapping[str, Any], model_type: str, folder: Path) -> Any:
    """A config of transformers, with the defaults of what a file leaves out."""
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    if config.get("model_type") != model_type:
        raise ValueError(f"{folder} holds a {config.get('model_type')}, expected a {model_type}")
    try:
        return getattr(transformers, kind).from_dict(dict(config))
    except (StrictDataclassError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{folder}/config.json is no {kind}: {' '.join(str(error).split())}") from error
