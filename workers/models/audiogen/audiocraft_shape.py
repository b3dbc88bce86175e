"""From audiocraft's training settings to shapes.

What audiocraft can be set to and is not built here is refused by name: a model that computes something else gives sound
all the same.
"""

from collections.abc import Mapping
from math import prod
from typing import Any, Literal, cast

from pydantic import ValidationError

from workers.models.audiogen import defaults
from workers.models.audiogen.audiocraft_file import AudiocraftConfig, AudiocraftFile
from workers.models.audiogen.lm_spec import LmSpec
from workers.models.audiogen.shape import AudioGenShape, EncodecShape, complaints

# By key: what audiocraft takes where a setting is missing, and what is built here.
_LM_SUPPORTED: dict[str, tuple[Any, Any]] = {
    "lm_model": (None, "transformer_lm"),
    "transformer_lm.norm_first": (False, True),
    "transformer_lm.norm": ("layer_norm", "layer_norm"),
    "transformer_lm.activation": ("relu", "gelu"),
    "transformer_lm.causal": (False, True),
    "transformer_lm.past_context": (None, None),
    "transformer_lm.positional_embedding": ("sin", "sin"),
    "transformer_lm.layer_scale": (None, None),
    "transformer_lm.qk_layer_norm": (False, False),
    "transformer_lm.qk_layer_norm_cross": (False, False),
    "transformer_lm.kv_repeat": (1, 1),
    "fuser.sum": ([], []),
    "fuser.prepend": ([], []),
    "fuser.input_interpolate": ([], []),
    "fuser.cross_attention_pos_emb": (False, False),
    "interleave_stereo_codebooks.per_timestep": (False, False),
}

_CODEC_SUPPORTED: dict[str, tuple[Any, Any]] = {
    "compression_model": (None, "encodec"),
    "encodec.autoencoder": (None, "seanet"),
    "encodec.quantizer": (None, "rvq"),
    "seanet.activation": ("ELU", "ELU"),
    "seanet.activation_params": ({"alpha": 1.0}, {"alpha": 1.0}),
    "seanet.norm_params": ({}, {}),
    "seanet.encoder": ({}, {}),
    "seanet.decoder.final_activation": (None, None),
}


def text_condition(config: AudiocraftConfig) -> str:
    """The name of the condition that a language model attends to.

    Raises:
        ValueError: There is none, or several, or it is no text that a T5 encodes.
    """
    crossed = config.get("fuser.cross", [])
    if len(crossed) != 1:
        raise ValueError(f"{config.source}: fuser.cross is {crossed}, expected one condition: a text")
    name = str(crossed[0])
    config.require(
        {
            f"conditioners.{name}.model": (None, "t5"),
            f"conditioners.{name}.t5.finetune": (False, False),
            f"conditioners.{name}.t5.normalize_text": (False, False),
        }
    )
    return name


def lm_spec(file: AudiocraftFile) -> LmSpec:
    """The language model's shape.

    Raises:
        ValueError: A setting is missing, or asks for what is not built here.
    """
    config = file.config
    config.require(_LM_SUPPORTED)
    projection = f"condition_provider.conditioners.{text_condition(config)}.output_proj.weight"
    if projection not in file.state:
        raise ValueError(f"{file.path} has no {projection}: expected the projection of its text encoder's output")
    dim = config.need("transformer_lm.dim", int)
    return LmSpec(
        dim=dim,
        num_layers=config.need("transformer_lm.num_layers", int),
        num_heads=config.need("transformer_lm.num_heads", int),
        ffn_dim=int(dim * (config.need("transformer_lm.hidden_scale", float))),
        card=config.need("transformer_lm.card", int),
        delays=_delays(config, config.need("transformer_lm.n_q", int)),
        text_dim=file.state[projection].shape[1],
        activation="gelu",
        max_period=float(config.get("transformer_lm.max_period", 10_000)),
        positional_scale=float(config.get("transformer_lm.positional_scale", 1.0)),
    )


def encodec_shape(config: AudiocraftConfig) -> EncodecShape:
    """The codec's shape.

    Raises:
        ValueError: A setting is missing, or asks for what is not built here.
    """
    config.require(_CODEC_SUPPORTED)
    norm = config.need("seanet.norm", str)
    if norm not in ("none", "weight_norm", "time_group_norm"):
        raise ValueError(
            f"{config.source}: seanet.norm is {norm!r}, expected 'none', 'weight_norm' or 'time_group_norm'"
        )
    pad_mode = config.need("seanet.pad_mode", str)
    if pad_mode not in ("constant", "reflect", "replicate"):
        raise ValueError(
            f"{config.source}: seanet.pad_mode is {pad_mode!r}, expected 'constant', 'reflect' or 'replicate'"
        )
    if norm == "time_group_norm":
        config.require({"seanet.disable_norm_outer_blocks": (0, 0)})
    return EncodecShape(
        sample_rate=config.need("encodec.sample_rate", int),
        channels=config.need("encodec.channels", int),
        ratios=config.integers("seanet.ratios"),
        dimension=config.need("seanet.dimension", int),
        n_filters=config.need("seanet.n_filters", int),
        n_residual_layers=config.need("seanet.n_residual_layers", int),
        kernel_size=config.need("seanet.kernel_size", int),
        residual_kernel_size=config.need("seanet.residual_kernel_size", int),
        last_kernel_size=config.need("seanet.last_kernel_size", int),
        dilation_base=config.need("seanet.dilation_base", int),
        compress=config.need("seanet.compress", int),
        num_lstm_layers=config.need("seanet.lstm", int),
        causal=config.need("seanet.causal", bool),
        pad_mode=cast(Literal["constant", "reflect", "replicate"], pad_mode),
        true_skip=config.need("seanet.true_skip", bool),
        norm=cast(Literal["none", "weight_norm", "time_group_norm"], norm),
        trim_right_ratio=float(config.get("seanet.decoder.trim_right_ratio", 1.0)),
        renormalize=bool(config.get("encodec.renormalize", False)),
        codebook_size=config.need("rvq.bins", int),
        n_q=config.need("rvq.n_q", int),
    )


def audiogen_shape(file: AudiocraftFile, codec: EncodecShape) -> AudioGenShape:
    """The whole model's shape, and its defaults for generation: the file's, and audiocraft's where it has none.

    Raises:
        ValueError: A setting is missing or not supported, or language model and codec do not fit; the message says how.
    """
    config = file.config
    segment_seconds = config.need("dataset.segment_duration", float)
    is_musicgen = config.get("solver") == "musicgen"
    stride = defaults.MUSICGEN_STRIDE_SECONDS if is_musicgen else defaults.AUDIOGEN_STRIDE_SECONDS
    settings: Mapping[str, Any] = {
        "lm": lm_spec(file),
        "codec": codec,
        "sample_rate": config.need("sample_rate", int),
        "channels": 2 if config.get("interleave_stereo_codebooks.use", False) else config.need("channels", int),
        "frame_rate_hz": codec.sample_rate // prod(codec.ratios),
        "segment_seconds": segment_seconds,
        "extend_stride_seconds": defaults.stride_seconds(stride, segment_seconds),
        "guidance": float(config.get("classifier_free_guidance.inference_coef", defaults.GUIDANCE)),
        "top_k": config.get("generate.lm.top_k", defaults.TOP_K),
        "top_p": config.get("generate.lm.top_p", defaults.TOP_P),
        "temperature": config.get("generate.lm.temp", defaults.TEMPERATURE),
        "text_encoder": config.need(f"conditioners.{text_condition(config)}.t5.name", str),
    }
    try:
        return AudioGenShape(**settings)
    except ValidationError as error:
        raise ValueError(f"{config.source}: {complaints(error)}") from error


def _delays(config: AudiocraftConfig, num_codebooks: int) -> tuple[int, ...]:
    """Of each codebook; old files name the pattern among the transformer's settings."""
    pattern = config.get("codebooks_pattern.modeling") or config.get("transformer_lm.q_modeling")
    if pattern == "parallel":
        return (0,) * num_codebooks
    if pattern != "delay":
        raise ValueError(f"{config.source}: codebooks_pattern.modeling is {pattern!r}, expected 'delay' or 'parallel'")
    config.require({"codebooks_pattern.delay.flatten_first": (0, 0), "codebooks_pattern.delay.empty_initial": (0, 0)})
    if config.get("codebooks_pattern.delay.delays") is None:
        return tuple(range(num_codebooks))
    delays = config.integers("codebooks_pattern.delay.delays")
    if len(delays) != num_codebooks or min(delays) < 0 or list(delays) != sorted(delays):
        raise ValueError(
            f"{config.source}: codebooks_pattern.delay.delays is {list(delays)}, expected {num_codebooks} "
            "rising numbers (transformer_lm.n_q)"
        )
    return delays
