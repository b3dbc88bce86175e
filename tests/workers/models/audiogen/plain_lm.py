"""The language model written out: whole sequences, no cache, one formula after the other."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from workers.models.audiogen.lm_spec import LmSpec


def plain_logits(
    spec: LmSpec, state: Mapping[str, Tensor], tokens: Tensor, condition: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Logits of tokens in their delayed order.

    Args:
        spec: The shape.
        state: By the names of `lm_state`, float32.
        tokens: int64 [B, K, S].
        condition: [B, L, dim], after the projection.
        mask: bool [B, L]; all where None.

    Returns:
        [B, K, S, card].
    """
    _, num_codebooks, steps = tokens.shape
    half = spec.dim // 2
    periods = spec.max_period ** (torch.arange(half) / (half - 1))
    phases = torch.arange(steps)[:, None] / periods
    x = spec.positional_scale * torch.cat([phases.cos(), phases.sin()], dim=1)
    x = x + sum(state[f"embeddings.{k}"][tokens[:, k]] for k in range(num_codebooks))

    def linear(name: str, values: Tensor) -> Tensor:
        return functional.linear(values, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def norm(name: str, values: Tensor) -> Tensor:
        return functional.layer_norm(values, (spec.dim,), state[f"{name}.weight"], state[f"{name}.bias"])

    def attention(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
        q, k, v = (t.unflatten(2, (spec.num_heads, -1)).transpose(1, 2) for t in (q, k, v))
        scores = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).masked_fill(~allowed, -torch.inf)
        return (scores.softmax(dim=3) @ v).transpose(1, 2).flatten(2)

    past = torch.ones(steps, steps, dtype=torch.bool).tril()
    seen = torch.ones(condition.shape[:2], dtype=torch.bool) if mask is None else mask
    for i in range(spec.num_layers):
        layer = f"layers.{i}"
        q, k, v = linear(f"{layer}.qkv", norm(f"{layer}.norm1", x)).chunk(3, dim=2)
        x = x + linear(f"{layer}.attention_out", attention(q, k, v, past))
        q = linear(f"{layer}.cross_q", norm(f"{layer}.norm_cross", x))
        k, v = linear(f"{layer}.cross_kv", condition).chunk(2, dim=2)
        x = x + linear(f"{layer}.cross_out", attention(q, k, v, seen[:, None, None]))
        x = x + linear(f"{layer}.ffn_out", functional.gelu(linear(f"{layer}.ffn_in", norm(f"{layer}.norm2", x))))
    logits = linear("heads", norm("out_norm", x))
    return logits.unflatten(2, (num_codebooks, spec.card)).transpose(1, 2)
