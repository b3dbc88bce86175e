"""Matrix products with fixed weights, as fast as the device has them."""

from torch import Tensor, nn
from torch.nn import functional

from workers.models import onednn

_WORTH_PACKING = 1 << 19
"""Multiplications of a product from which on oneDNN's fixed cost of about ten microseconds is paid back."""


class PackedLinear:
    """`functional.linear` for inputs of one number of rows.

    On a CPU large products come from oneDNN with its own layout of the weights: measured on one core of Zen 5, 8 rows
    by 384 x 1536 take 70 instead of 158 µs, 32 rows by 768 x 3072 1.1 instead of 2.2 ms. Which kernel is taken follows
    from the shape alone, so results are repeatable.

    Args:
        layer: Whose weights these are; where they are packed, they are not kept besides.
        rows: Rows of the inputs that are to be fast.
    """

    def __init__(self, layer: nn.Linear, *, rows: int) -> None:
        weight, self.bias = layer.weight.detach(), layer.bias
        worth = rows >= 2 and rows * weight.numel() >= _WORTH_PACKING
        self._packs = worth and weight.device.type == "cpu" and onednn.computes(weight.dtype)
        self._weight = onednn.packed_linear_weight(weight, rows) if self._packs else weight

    def __call__(self, x: Tensor) -> Tensor:
        """[rows, K] to [rows, N]."""
        if self._packs:
            return onednn.linear(x, self._weight, self.bias)
        return functional.linear(x, self._weight, self.bias)
