"""The shape of an AudioGen or MusicGen: what its checkpoint says of it beside the weights."""

from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from workers.models.audiogen.lm_spec import Count, LmSpec
from workers.spec import Spec


class EncodecShape(Spec):
    """A SEANet autoencoder with residual vector quantisation (EnCodec, https://doi.org/10.48550/arXiv.2210.13438)."""

    sample_rate: Count
    """Of its waveforms, in Hz."""

    channels: Count
    """Of its waveforms."""

    ratios: tuple[Count, ...]
    """Factors by which the decoder's stages raise the rate, in their order; their product is the hop length."""

    dimension: Count
    """Channels of the latent, which are those of a codebook's entries."""

    n_filters: Count
    """Channels at the sample rate; each stage doubles them."""

    n_residual_layers: Annotated[int, Field(ge=0)]
    """Residual blocks in each stage."""

    kernel_size: Count
    """Of the first convolution of encoder and decoder."""

    residual_kernel_size: Count
    """Of the residual blocks' first convolution."""

    last_kernel_size: Count
    """Of the last convolution of encoder and decoder."""

    dilation_base: Count
    """Factor between the dilations of successive residual blocks."""

    compress: Count
    """Factor by which residual blocks are narrower inside."""

    num_lstm_layers: Annotated[int, Field(ge=0)]
    """Layers of the LSTM beside the latent; no LSTM where 0."""

    causal: bool
    """Whether convolutions see the past only."""

    pad_mode: Literal["constant", "reflect", "replicate"]
    """What convolutions see beyond the ends."""

    true_skip: bool
    """Whether residual blocks add their input itself, and not a convolution of it."""

    norm: Literal["none", "weight_norm", "time_group_norm"]
    """Of the convolutions. `weight_norm` is folded into the weights, so that it computes as `none` does."""

    trim_right_ratio: Annotated[float, Field(ge=0, le=1)]
    """Share of the surplus of a causal transposed convolution that is cut off on the right."""

    renormalize: bool
    """Whether the encoder divides a clip by its volume."""

    codebook_size: Count
    """Codes in a codebook."""

    n_q: Count
    """Codebooks."""

    @property
    def hop_length(self) -> int:
        """Samples per frame of codes."""
        return prod(self.ratios)


class AudioGenShape(Spec):
    """All that is needed to build the model, beside weights; and how its authors generate with it."""

    lm: LmSpec
    """The language model."""

    codec: EncodecShape
    """What turns its codes into sound."""

    sample_rate: Count
    """Of the generated sound, in Hz."""

    channels: Count
    """Of the generated sound. Where the codec has one and the sound two, codebooks alternate between left and right."""

    frame_rate_hz: Count
    """Frames of codes per second."""

    segment_seconds: Annotated[float, Field(gt=0)]
    """What the model was trained on, and the longest window that it generates at once."""

    extend_stride_seconds: Annotated[float, Field(gt=0)]
    """What is dropped at a window's start when a longer clip goes on."""

    guidance: float
    """Default coefficient of classifier-free guidance."""

    top_k: Annotated[int, Field(ge=0)]
    """By default, draw from that many of the likeliest codes; 0 for all."""

    top_p: Annotated[float, Field(ge=0, le=1)]
    """By default, draw from the likeliest codes with that probability in sum, instead of `top_k`; 0 for not at all."""

    temperature: Annotated[float, Field(gt=0)]
    """Default divisor of logits."""

    text_encoder: str
    """Name of the T5 that it was trained with, such as `t5-large`."""

    @property
    def metadata(self) -> dict[str, int | float | str]:
        """What a person asks of a model first, as plain values."""
        return {
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "frame_rate_hz": self.frame_rate_hz,
            "window_seconds": self.segment_seconds,
            "num_codebooks": self.lm.num_codebooks,
            "codebook_size": self.codec.codebook_size,
            "lm_hidden_dim": self.lm.dim,
            "num_lm_layers": self.lm.num_layers,
            "num_heads": self.lm.num_heads,
            "text_hidden_dim": self.lm.text_dim,
            "text_encoder": self.text_encoder,
        }

    @property
    def stereo_from_mono(self) -> bool:
        """Whether a mono codec decodes left (codebooks 0, 2, ...) and right (1, 3, ...) by themselves."""
        return self.channels == 2 and self.codec.channels == 1

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        lm, codec = self.lm, self.codec
        if lm.card != codec.codebook_size:
            raise ValueError(
                f"the language model has {lm.card} codes in a codebook and the codec {codec.codebook_size}: "
                "give the codec that the model was trained with"
            )
        per_frame = codec.n_q * (2 if self.stereo_from_mono else 1)
        if lm.num_codebooks > per_frame or lm.num_codebooks % (2 if self.stereo_from_mono else 1):
            raise ValueError(
                f"the language model has {lm.num_codebooks} codebooks for {self.channels} channel(s), and the codec "
                f"{codec.n_q} for {codec.channels}: give the codec that the model was trained with"
            )
        if self.channels != codec.channels and not self.stereo_from_mono:
            raise ValueError(
                f"the model has {self.channels} channel(s) and the codec {codec.channels}: give the codec that the "
                "model was trained with"
            )
        if self.sample_rate != codec.sample_rate:
            raise ValueError(
                f"the model is one of {self.sample_rate} Hz and the codec of {codec.sample_rate} Hz: give the codec "
                "that the model was trained with"
            )
        if self.frame_rate_hz * codec.hop_length != codec.sample_rate:
            raise ValueError(
                f"{codec.sample_rate} Hz and {codec.hop_length} samples per frame do not make {self.frame_rate_hz} "
                "frames per second: the rate must be a multiple of the product of the ratios"
            )
        if self.extend_stride_seconds >= self.segment_seconds:
            raise ValueError(
                f"extend_stride_seconds ({self.extend_stride_seconds}) must be less than segment_seconds "
                f"({self.segment_seconds}), or windows would not overlap"
            )
        return self


def complaints(error: ValidationError) -> str:
    """What is wrong with a shape, in one line."""
    said = []
    for each in error.errors(include_url=False):
        place = ".".join(map(str, each["loc"]))
        said.append((f"{place}: " if place else "") + each["msg"].removeprefix("Value error, "))
    return "; ".join(said)
