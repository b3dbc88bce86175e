"""A shape of one's own, by the numbers that matter."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workers.models.audiogen import defaults
from workers.models.audiogen.lm_spec import Count, LmSpec
from workers.models.audiogen.shape import AudioGenShape
from workers.models.audiogen.sizes import ENCODEC_16_KHZ, whole_shape
from workers.spec import Spec

FRAME_RATE_HZ = 50
_STAGES = 4


class CustomShape(Spec):
    """A text encoder, a language model and a codec that fit each other, 50 frames of codes a second."""

    text_hidden_dim: Count = 768
    """Width of the text encoder's hidden states."""

    lm_hidden_dim: Count = 1024
    """Width of the language model; a multiple of `num_heads`, and even."""

    num_lm_layers: Count = 24
    """Blocks of the language model."""

    num_heads: Count = 16
    """Heads of each attention."""

    num_codebooks: Annotated[int, Field(ge=1, le=32)] = 4
    """Parallel streams of codes, each a step later than the one before; of a stereo model left and right in turn."""

    codebook_size: Annotated[int, Field(ge=2, le=1 << 16)] = 2048
    """Codes in a codebook."""

    codec_filters: Count = 32
    """Channels of the codec at the sample rate; each of its four stages doubles them."""

    max_text_length: Annotated[int, Field(gt=1)] = 256
    """Tokens that a text may have."""

    sample_rate: Annotated[int, Field(ge=1_000, le=192_000)] = 16_000
    """Of the sound, in Hz; a multiple of 50."""

    channels: Literal[1, 2] = 1
    """Of the sound."""

    max_duration_seconds: Annotated[float, Field(ge=0.1, le=600)] = 30.0
    """The longest clip that is made in one window; longer ones are made in several."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.lm_hidden_dim % self.num_heads or self.lm_hidden_dim % 2:
            raise ValueError(
                f"lm_hidden_dim is {self.lm_hidden_dim} and num_heads {self.num_heads}: the first has to be even, and a"
                " multiple of the second"
            )
        if self.num_codebooks % self.channels:
            raise ValueError(f"num_codebooks is {self.num_codebooks}, which two channels cannot share: make it even")
        if self.sample_rate % FRAME_RATE_HZ:
            raise ValueError(f"sample_rate is {self.sample_rate}, no multiple of {FRAME_RATE_HZ} frames a second")
        return self

    def shape(self) -> AudioGenShape:
        """The whole shape."""
        per_channel = self.num_codebooks // self.channels
        lm = LmSpec(
            dim=self.lm_hidden_dim,
            num_layers=self.num_lm_layers,
            num_heads=self.num_heads,
            ffn_dim=4 * self.lm_hidden_dim,
            card=self.codebook_size,
            delays=tuple(book for book in range(per_channel) for _ in range(self.channels)),
            text_dim=self.text_hidden_dim,
        )
        codec = ENCODEC_16_KHZ.model_copy(
            update={
                "sample_rate": self.sample_rate,
                "ratios": tuple(_ratios(self.sample_rate // FRAME_RATE_HZ)),
                "n_filters": self.codec_filters,
                "pad_mode": "reflect",
                "codebook_size": self.codebook_size,
                "n_q": per_channel,
            }
        )
        return whole_shape(
            lm,
            codec,
            "random",
            segment_seconds=self.max_duration_seconds,
            stride_seconds=defaults.stride_seconds(defaults.AUDIOGEN_STRIDE_SECONDS, self.max_duration_seconds),
        )


def _ratios(hop_length: int) -> list[int]:
    """Four factors of a number, as equal as its primes allow, the largest first."""
    factors = [1] * _STAGES
    for prime in sorted(_primes(hop_length), reverse=True):
        factors[factors.index(min(factors))] *= prime
    return sorted(factors, reverse=True)


def _primes(number: int) -> Iterator[int]:
    divisor = 2
    while number > 1:
        while number % divisor == 0:
            yield divisor
            number //= divisor
        divisor += 1
