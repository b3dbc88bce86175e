"""One step of the language model after another, with everything that steps share computed once.

    kept from step to step                         shape
    keys, values of the steps so far               [layers, 2, R, heads, length, D / heads]
    keys, values of the texts                      [layers, 2, C, heads, L, D / heads]

Rows are B clips, and behind them, where clips are guided, the same B clips without their text (R = 2B):

    x   | clip 0 | clip 1 | clip 2 | null 0 | null 1 | null 2 |
        '---- C rows look at texts ---'

The null text's keys and values are zeros where the projections have no biases, so its cross-attention adds zeros:
those rows skip it. With a negative prompt, or with biases, C = R.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from workers.models.audiogen.language_model import LanguageModel, Layer, positions
from workers.models.audiogen.packed_linear import PackedLinear

_LENGTH_STEP = 32
"""Attention spans that many steps more at a time: few shapes, each step's span within one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What the clips of a batch are to sound like."""

    values: Tensor
    """[B, L, D], as `LanguageModel.conditioning` gives it."""
    mask: Tensor
    """bool [B, L]."""
    negative_values: Tensor | None = None
    """[B, L, D] of the negative prompts; none where no clip has one."""
    negative_mask: Tensor | None = None


class _PackedLayer:
    """A layer for a fixed number of rows; attention's scale is in the weights of its queries."""

    def __init__(self, layer: Layer, *, rows: int, text_rows: int) -> None:
        dim = layer.qkv.in_features
        scale = (dim // layer.num_heads) ** -0.5
        scales = torch.cat([layer.qkv.weight.new_full((dim,), scale), layer.qkv.weight.new_ones(2 * dim)])
        bias = None if layer.qkv.bias is None else layer.qkv.bias * scales
        self.qkv = PackedLinear(layer.qkv.weight * scales[:, None], bias, rows=rows)
        bias = None if layer.cross_q.bias is None else layer.cross_q.bias * scale
        self.cross_q = PackedLinear(layer.cross_q.weight * scale, bias, rows=text_rows)
        self.attention_out, self.cross_out, self.ffn_in, self.ffn_out = (
            PackedLinear(linear.weight, linear.bias, rows=num_rows)
            for linear, num_rows in (
                (layer.attention_out, rows),
                (layer.cross_out, text_rows),
                (layer.ffn_in, rows),
                (layer.ffn_out, rows),
            )
        )
        self.norms = [(norm.weight, norm.bias) for norm in (layer.norm1, layer.norm_cross, layer.norm2)]
        self.epsilon = layer.norm1.eps
        self.cross_kv = layer.cross_kv

    def norm(self, which: int, x: Tensor) -> Tensor:
        weight, bias = self.norms[which]
        return functional.layer_norm(x, weight.shape, weight, bias, self.epsilon)


class Decoder:
    """Makes logits step by step for batches of one size.

    Args:
        model: The language model, where it is to be computed, in the type that it is to be computed in.
        num_clips: Clips of a batch.
        guided: Whether the clips are guided away from their null text or negative prompt.
        negative: Whether there are negative prompts.
    """

    def __init__(self, model: LanguageModel, *, num_clips: int, guided: bool, negative: bool = False) -> None:
        spec = model.spec
        layers = [cast(Layer, layer) for layer in model.layers]
        null_text_counts = layers[0].cross_kv.bias is not None or layers[0].cross_out.bias is not None
        everywhere = guided and (negative or null_text_counts)
        self.spec, self._guided = spec, guided
        self._clips, self._rows = num_clips, num_clips * (2 if guided else 1)
        self._text_rows = self._rows if everywhere else num_clips
        self._layers = [_PackedLayer(layer, rows=self._rows, text_rows=self._text_rows) for layer in layers]
        self._table = torch.cat(list(model.embeddings))
        self._offsets = torch.arange(spec.num_codebooks, device=self._table.device) * (spec.card + 1)
        self._norm, self._heads = model.out_norm, PackedLinear(model.heads.weight, model.heads.bias, rows=num_clips)
        self._scores_shape = (self._rows * spec.num_heads, 1, spec.dim // spec.num_heads)

    def start(self, texts: Texts, num_steps: int) -> None:
        """Begin a new batch.

        Args:
            texts: Of its clips.
            num_steps: Steps that will come at most.
        """
        spec, table = self.spec, self._table
        length = -(-num_steps // _LENGTH_STEP) * _LENGTH_STEP
        head = spec.dim // spec.num_heads
        shape = (spec.num_layers, 2, self._rows, spec.num_heads, length, head)
        self._cache = torch.zeros(shape, dtype=table.dtype, device=table.device)
        self._hidden_steps = table.new_full((1, 1, length), float("-inf"))
        """What is added to the scores of steps: minus infinity until they have come."""
        self._positions = positions(torch.arange(length, device=table.device), spec).to(table.dtype)
        self._step = 0
        self._begin_texts(texts)

    def prefill(self, tokens: Tensor) -> Tensor:
        """The first T steps at once.

        Args:
            tokens: [B, K, T].

        Returns:
            Hidden states after the last of them, [R, D].
        """
        count = tokens.shape[-1]
        x = self._embed(tokens, slice(0, count))
        rows, heads = self._rows, self.spec.num_heads
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(layer.norm(0, x).flatten(0, 1)).view(rows, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
            self._cache[number, :, :, :, :count] = qkv[1:]
            q, k, v = qkv.unbind(0)
            attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
            x = x + layer.attention_out(attended.transpose(1, 2).flatten(2).flatten(0, 1)).view_as(x)
            seen = x[: self._text_rows]
            q = layer.cross_q(layer.norm(1, seen).flatten(0, 1)).view(len(seen), count, heads, -1).transpose(1, 2)
            k, v = self._texts[number].unflatten(1, (len(seen), heads)).unbind(0)
            attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=self._text_bias[:, None], scale=1.0)
            out = layer.cross_out(attended.transpose(1, 2).flatten(2).flatten(0, 1)).view_as(seen)
            x = torch.cat([seen + out, x[self._text_rows :]])
            inner = functional.gelu(layer.ffn_in(layer.norm(2, x).flatten(0, 1)))
            x = x + layer.ffn_out(inner).view_as(x)
        self._hidden_steps[..., :count] = 0
        self._step = count
        return x[:, -1]

    def step(self, tokens: Tensor) -> Tensor:
        """The next step.

        Args:
            tokens: [B, K].

        Returns:
            Hidden states after it, [R, D].
        """
        number, text_rows = self._step, self._text_rows
        self._hidden_steps[..., number] = 0
        length = -(-(number + 1) // _LENGTH_STEP) * _LENGTH_STEP
        x = self._embed(tokens[..., None], slice(number, number + 1))[:, 0]
        for layer, cache, text in zip(self._layers, self._cache, self._texts, strict=True):
            x = x + layer.attention_out(self._attend(layer.qkv(layer.norm(0, x)), cache, length))
            seen = x[:text_rows]
            seen = seen + layer.cross_out(self._attend_text(layer.cross_q(layer.norm(1, seen)), text))
            x = seen if text_rows == len(x) else torch.cat([seen, x[text_rows:]])
            x = x + layer.ffn_out(functional.gelu(layer.ffn_in(layer.norm(2, x))))
        self._step += 1
        return x

    def logits(self, hidden: Tensor, guidance: Tensor) -> Tensor:
        """Of the codes that follow, guided: null + guidance · (text - null), float32 [B, K, card].

        The heads are linear, so they take the guided hidden state, and not two of them.

        Args:
            hidden: [R, D].
            guidance: float32 [B, 1].
        """
        normed = self._norm(hidden)
        if self._guided:
            text, null = normed.float().split(self._clips)
            normed = (null + guidance * (text - null)).to(normed.dtype)
        return self._heads(normed).float().view(self._clips, self.spec.num_codebooks, -1)

    def _embed(self, tokens: Tensor, steps: slice) -> Tensor:
        """Tokens [B, K, T] to [R, T, D]."""
        embedded = functional.embedding(tokens.transpose(1, 2) + self._offsets, self._table).sum(2)
        embedded = embedded + self._positions[steps]
        return torch.cat([embedded, embedded]) if self._guided else embedded

    def _attend(self, qkv: Tensor, cache: Tensor, length: int) -> Tensor:
        """Queries, keys and values [R, 3D] of this step; the new ones join those kept, [2, R, heads, length, ...]."""
        q, kv = qkv.tensor_split((self.spec.dim,), dim=1)
        cache[:, :, :, self._step] = kv.view(self._rows, 2, self.spec.num_heads, -1).transpose(0, 1)
        keys, values = (part.flatten(0, 1)[:, :length] for part in cache.unbind(0))
        q = q.reshape(self._scores_shape)
        scores = torch.baddbmm(self._hidden_steps[..., :length], q, keys.transpose(1, 2))
        return torch.bmm(scores.softmax(-1), values).view(self._rows, -1)

    def _attend_text(self, q: Tensor, text: Tensor) -> Tensor:
        keys, values = text.unbind(0)
        q = q.reshape(-1, 1, keys.shape[-1])
        scores = torch.baddbmm(self._text_scores_bias, q, keys.transpose(1, 2))
        return torch.bmm(scores.softmax(-1), values).view(self._text_rows, -1)

    def _begin_texts(self, texts: Texts) -> None:
        values, mask = texts.values, texts.mask
        if self._text_rows > self._clips:
            null = torch.zeros_like(values), torch.zeros_like(mask)
            negative = (texts.negative_values, texts.negative_mask)
            other = [null[i] if part is None else part for i, part in enumerate(negative)]
            values, mask = torch.cat([values, other[0]]), torch.cat([mask, other[1]])
        heads = self.spec.num_heads
        self._texts = [
            layer.cross_kv(values).unflatten(2, (2, heads, -1)).permute(2, 0, 3, 1, 4).flatten(1, 2).contiguous()
            for layer in self._layers
        ]
        """Of each layer [2, C · heads, L, D / heads]."""
        seen = mask | ~mask.any(1, keepdim=True)
        self._text_bias = values.new_zeros(seen.shape).masked_fill(~seen, float("-inf"))[:, None]
        """Added to the scores of texts, [C, 1, L]."""
        self._text_scores_bias = self._text_bias.repeat_interleave(heads, 0)
