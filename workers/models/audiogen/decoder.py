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

import torch
from torch import Tensor
from torch.nn import functional

from workers.models.audiogen.language_model import positions
from workers.models.audiogen.packed_lm import PackedLm

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


class Decoder:
    """Makes logits step by step for one batch, whose keys and values it holds.

    Args:
        model: The language model.
        texts: Of the clips.
        num_steps: Steps that will come at most.
        guided: Whether the clips are guided away from their null text or negative prompt.
    """

    def __init__(self, model: PackedLm, texts: Texts, num_steps: int, *, guided: bool) -> None:
        self.spec, self._model, self._guided = model.spec, model, guided
        spec, table = model.spec, model.embeddings
        self._clips = len(texts.values)
        self._rows = self._clips * (2 if guided else 1)
        everywhere = guided and (texts.negative_values is not None or model.null_text_counts)
        self._text_rows = self._rows if everywhere else self._clips
        head = spec.dim // spec.num_heads
        self._scale = head**-0.5
        self._offsets = torch.arange(spec.num_codebooks, device=table.device) * (spec.card + 1)
        length = -(-num_steps // _LENGTH_STEP) * _LENGTH_STEP
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
        for number, layer in enumerate(self._model.layers):
            qkv = layer.qkv(layer.norm(0, x).flatten(0, 1)).view(rows, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
            self._cache[number, :, :, :, :count] = qkv[1:]
            q, k, v = qkv.unbind(0)
            attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + layer.attention_out(attended.transpose(1, 2).flatten(2).flatten(0, 1)).view_as(x)
            seen = x[: self._text_rows]
            q = layer.cross_q(layer.norm(1, seen).flatten(0, 1)).view(len(seen), count, heads, -1).transpose(1, 2)
            texts = self._texts[number]
            k, v = texts.view(2, len(seen), heads, *texts.shape[2:]).unbind(0)
            attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=self._text_bias[:, None])
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
        for layer, cache, text in zip(self._model.layers, self._cache, self._texts, strict=True):
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
        normed = self._model.out_norm(hidden)
        if self._guided:
            text, null = normed.float().split(self._clips)
            normed = (null + guidance * (text - null)).to(normed.dtype)
        return self._model.heads(normed).float().view(self._clips, self.spec.num_codebooks, -1)

    def _embed(self, tokens: Tensor, steps: slice) -> Tensor:
        """Tokens [B, K, T] to [R, T, D]."""
        embedded = functional.embedding(tokens.transpose(1, 2) + self._offsets, self._model.embeddings).sum(2)
        embedded = embedded + self._positions[steps]
        return torch.cat([embedded, embedded]) if self._guided else embedded

    def _attend(self, qkv: Tensor, cache: Tensor, length: int) -> Tensor:
        """Queries, keys and values [R, 3D] of this step; the new ones join those kept, [2, R, heads, length, ...]."""
        q, kv = qkv.tensor_split((self.spec.dim,), dim=1)
        cache[:, :, :, self._step] = kv.view(self._rows, 2, self.spec.num_heads, -1).transpose(0, 1)
        keys, values = (part.flatten(0, 1)[:, :length] for part in cache.unbind(0))
        q = q.reshape(len(keys), 1, -1)
        scores = torch.baddbmm(self._hidden_steps[..., :length], q, keys.transpose(1, 2), alpha=self._scale)
        return torch.bmm(scores.softmax(-1), values).view(self._rows, -1)

    def _attend_text(self, q: Tensor, text: Tensor) -> Tensor:
        keys, values = text.unbind(0)
        q = q.reshape(len(keys), 1, -1)
        scores = torch.baddbmm(self._text_scores_bias, q, keys.transpose(1, 2), alpha=self._scale)
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
            layer.cross_kv(values.flatten(0, 1))
            .view(*values.shape[:2], 2, heads, -1)
            .permute(2, 0, 3, 1, 4)
            .flatten(1, 2)
            .contiguous()
            for layer in self._model.layers
        ]
        """Of each layer [2, C · heads, L, D / heads]."""
        seen = mask | ~mask.any(1, keepdim=True)
        self._text_bias = values.new_zeros(seen.shape).masked_fill(~seen, float("-inf"))[:, None]
        """Added to the scores of texts, [C, 1, L]."""
        self._text_scores_bias = self._text_bias.repeat_interleave(heads, 0)
