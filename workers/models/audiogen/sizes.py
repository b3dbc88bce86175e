"""Shapes by name: those that were published, and a tiny one.

Random weights of them (`random_checkpoint`) run the real path without a download; published weights bring their own
shape along. The published models are facebook/audiogen-medium and facebook/musicgen-{small,medium,large} with their
stereo variants (https://huggingface.co/facebook).
"""

from typing import Literal

from workers.models.audiogen import defaults
from workers.models.audiogen.lm_spec import LmSpec
from workers.models.audiogen.shape import AudioGenShape, EncodecShape

Size = Literal[
    "debug",
    "audiogen-medium",
    "musicgen-small",
    "musicgen-medium",
    "musicgen-large",
    "musicgen-stereo-small",
    "musicgen-stereo-medium",
    "musicgen-stereo-large",
]

ENCODEC_16_KHZ = EncodecShape(
    sample_rate=16_000,
    channels=1,
    ratios=(8, 5, 4, 2),
    dimension=128,
    n_filters=64,
    n_residual_layers=1,
    kernel_size=7,
    residual_kernel_size=3,
    last_kernel_size=7,
    dilation_base=2,
    compress=2,
    num_lstm_layers=2,
    causal=False,
    pad_mode="constant",
    true_skip=True,
    norm="weight_norm",
    trim_right_ratio=1.0,
    renormalize=False,
    codebook_size=2048,
    n_q=4,
)
_ENCODEC_32_KHZ = ENCODEC_16_KHZ.model_copy(
    update={"sample_rate": 32_000, "ratios": (8, 5, 4, 4), "pad_mode": "reflect"}
)
_TINY_ENCODEC = ENCODEC_16_KHZ.model_copy(
    update={"n_filters": 4, "dimension": 16, "num_lstm_layers": 1, "codebook_size": 64}
)

_DELAYS = (0, 1, 2, 3)
_STEREO_DELAYS = (0, 0, 1, 1, 2, 2, 3, 3)


def shape_of(size: Size) -> AudioGenShape:
    """The shape that a name stands for."""
    return _SHAPES[size]


def _audiogen(lm: LmSpec, codec: EncodecShape, text_encoder: str) -> AudioGenShape:
    return whole_shape(lm, codec, text_encoder, segment_seconds=10.0, stride_seconds=defaults.AUDIOGEN_STRIDE_SECONDS)


def _musicgen(dim: int, num_layers: int, num_heads: int, delays: tuple[int, ...] = _DELAYS) -> AudioGenShape:
    return whole_shape(
        _lm(dim, num_layers, num_heads, text_dim=768, delays=delays),
        _ENCODEC_32_KHZ,
        "t5-base",
        segment_seconds=defaults.MUSICGEN_SEGMENT_SECONDS,
        stride_seconds=defaults.MUSICGEN_STRIDE_SECONDS,
    )


def _lm(dim: int, num_layers: int, num_heads: int, *, text_dim: int, delays: tuple[int, ...] = _DELAYS) -> LmSpec:
    return LmSpec(
        dim=dim,
        num_layers=num_layers,
        num_heads=num_heads,
        ffn_dim=4 * dim,
        card=2048,
        delays=delays,
        text_dim=text_dim,
    )


def whole_shape(
    lm: LmSpec, codec: EncodecShape, text_encoder: str, *, segment_seconds: float, stride_seconds: float
) -> AudioGenShape:
    """A language model and a codec as a model that generates as those that were published do."""
    return AudioGenShape(
        lm=lm,
        codec=codec,
        sample_rate=codec.sample_rate,
        channels=lm.num_codebooks // codec.n_q,
        frame_rate_hz=codec.sample_rate // codec.hop_length,
        segment_seconds=segment_seconds,
        extend_stride_seconds=stride_seconds,
        guidance=defaults.GUIDANCE,
        top_k=defaults.TOP_K,
        top_p=defaults.TOP_P,
        temperature=defaults.TEMPERATURE,
        text_encoder=text_encoder,
    )


_TINY_LM = LmSpec(dim=32, num_layers=2, num_heads=4, ffn_dim=64, card=64, delays=_DELAYS, text_dim=32)

_SHAPES: dict[Size, AudioGenShape] = {
    "debug": _audiogen(_TINY_LM, _TINY_ENCODEC, "random"),
    "audiogen-medium": _audiogen(_lm(1536, 48, 24, text_dim=1024), ENCODEC_16_KHZ, "t5-large"),
    "musicgen-small": _musicgen(1024, 24, 16),
    "musicgen-medium": _musicgen(1536, 48, 24),
    "musicgen-large": _musicgen(2048, 48, 32),
    "musicgen-stereo-small": _musicgen(1024, 24, 16, _STEREO_DELAYS),
    "musicgen-stereo-medium": _musicgen(1536, 48, 24, _STEREO_DELAYS),
    "musicgen-stereo-large": _musicgen(2048, 48, 32, _STEREO_DELAYS),
}
