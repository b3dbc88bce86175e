"""A language model's weights as its decoder takes them."""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from workers.models.audiogen.language_model import LanguageModel, Layer
from workers.models.audiogen.packed_linear import PackedLinear


class PackedLayer:
    """A layer whose products are fast for one number of rows."""

    def __init__(self, layer: Layer, *, rows: int) -> None:
        self.qkv = PackedLinear(layer.qkv, rows=rows)
        self.attention_out = PackedLinear(layer.attention_out, rows=rows)
        self.cross_q = PackedLinear(layer.cross_q, rows=rows)
        self.cross_kv = PackedLinear(layer.cross_kv, rows=rows)
        self.cross_out = PackedLinear(layer.cross_out, rows=rows)
        self.ffn_in, self.ffn_out = PackedLinear(layer.ffn_in, rows=rows), PackedLinear(layer.ffn_out, rows=rows)
        self._norms = [(norm.weight, norm.bias) for norm in (layer.norm1, layer.norm_cross, layer.norm2)]
        self._epsilon = layer.norm1.eps

    def norm(self, which: int, x: Tensor) -> Tensor:
        """The norm before self-attention (0), cross-attention (1) or feed-forward (2), of [..., D]."""
        weight, bias = self._norms[which]
        return functional.layer_norm(x, weight.shape, weight, bias, self._epsilon)


class PackedLm:
    """What decoders of one model share. The model itself can be let go.

    Args:
        model: Where it is to be computed, in the type that it is to be computed in.
        rows: Of the batches that are to be fast: twice the clips where they are guided.
    """

    def __init__(self, model: LanguageModel, *, rows: int) -> None:
        self.spec = model.spec
        self.layers = [PackedLayer(cast(Layer, layer), rows=rows) for layer in model.layers]
        self.embeddings = torch.cat([table.detach() for table in model.embeddings])
        """Of all codebooks, [K (card + 1), D]."""
        self.out_norm, self.text_projection = model.out_norm, model.text_projection
        self.heads = PackedLinear(model.heads, rows=rows)
        self.null_text_counts = any(
            layer.cross_kv.bias is not None or layer.cross_out.bias is not None for layer in self.layers
        )
        """Whether cross-attention to nothing adds anything but zeros."""

    def conditioning(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """As `LanguageModel.conditioning`."""
        projected: Tensor = self.text_projection(hidden.to(self.embeddings.dtype))
        return projected * mask[..., None]
