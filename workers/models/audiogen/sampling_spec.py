"""How a clip's tokens are chosen."""

from pydantic import Field

from workers.spec import Spec


class SamplingSpec(Spec):
    """Settings of one clip; a column of the same name overrides one for its row."""

    temperature: float = Field(default=1.0, ge=1e-6, le=100)
    """Logits are divided by it, in float32: below 1 the likely becomes likelier. `top_k: 1` is greedy."""

    top_k: int = Field(default=250, ge=0, le=1 << 20)
    """Choose among that many of the likeliest tokens; 0 chooses among all, 1 always takes the likeliest (greedy)."""

    top_p: float = Field(default=0.0, ge=0, le=1)
    """Of those, among the likeliest that have this much of the probability together; 0 leaves them all."""

    guidance_scale: float = Field(default=3.0, ge=0, le=100)
    """How far a clip is pushed from what no text (or the negative prompt) gives towards its own text; 1 does not push,
    and takes half the time (https://arxiv.org/abs/2207.12598)."""
