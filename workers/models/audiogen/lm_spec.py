"""The shape of AudioGen's and MusicGen's language model."""

from typing import Annotated, Literal

from pydantic import Field

from workers.spec import Spec

Count = Annotated[int, Field(gt=0)]


class LmSpec(Spec):
    """A pre-norm transformer over codebooks, with cross-attention to text (https://doi.org/10.48550/arXiv.2306.05284)."""

    dim: Count
    """Width of the residual stream."""

    num_layers: Count
    """Blocks of self-attention, cross-attention and feed-forward."""

    num_heads: Count
    """Heads of each attention."""

    ffn_dim: Count
    """Hidden width of the feed-forward layers."""

    card: Count
    """Codes in a codebook; `card` itself is the special token."""

    delays: tuple[Annotated[int, Field(ge=0)], ...]
    """Steps by which each codebook lags behind; there are as many codebooks as delays."""

    text_dim: Count
    """Width of the text encoder's hidden states, before their projection to `dim`."""

    activation: Literal["gelu"] = "gelu"
    """Of the feed-forward layers."""

    max_period: float = 10_000.0
    """Longest period of the sinusoidal positions, in steps of 2 pi."""

    positional_scale: float = 1.0
    """What the positions are multiplied by."""

    @property
    def num_codebooks(self) -> int:
        """Parallel streams of codes."""
        return len(self.delays)
