"""Convolutions and matrix products straight from oneDNN, which torch computes most convolutions with on a CPU.

torch sends pointwise convolutions, small ones and float32 matrix products to MKL instead, which uses half of the vector
width where the CPU is not Intel's: measured on one core of Zen 5, 105 against 230 GFLOP/s. The operators below are
those that `torch.compile` emits. torch gives them no public name, which is why they are called here and nowhere else.
"""

from typing import cast

import torch
from torch import Tensor, nn


def computes(dtype: torch.dtype) -> bool:
    """Whether this build of torch, on this CPU, has the operators for a type."""
    if not (torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_convolution_pointwise")):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if dtype == torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    return dtype == torch.float32


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`functional.linear`: [..., K] and [N, K] to [..., N]."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


def packed_linear_weight(weight: Tensor, rows: int) -> Tensor:
    """A weight [N, K] in the layout that `linear` is fastest with for so many rows."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
    return packed


class PackedConvolution:
    """`functional.conv2d` with fixed weights.

    oneDNN wants weights in a layout that depends on the size of the picture, and torch brings them into it in every
    call. Here they are laid out once, for the first size that comes: a job's pictures have few. Pictures of other sizes
    take the weights as they are; their results have the same bits, their time is 5 to 20 % longer.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        padding: tuple[int, int] = (0, 0),
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        self._weight, self._bias = weight, bias
        self._settings = (padding, stride, dilation, groups)
        self._packed: tuple[torch.Size, Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """[B, C_in, H, W] to [B, C_out, H', W'], in the memory layout of `x`."""
        if self._packed is None:
            packed = torch.ops.aten.mkldnn_reorder_conv2d_weight(self._weight.to_mkldnn(), *self._settings, x.shape)
            self._packed = x.shape, packed
        size, packed = self._packed
        weight = packed if x.shape == size else self._weight
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, self._bias, *self._settings, "none", [], "")
        return y


class Linear(nn.Module):
    """Takes the place of an `nn.Linear`."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class Convolution(nn.Module):
    """Takes the place of an `nn.Conv2d` that pads with zeros."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._compute = PackedConvolution(
            layer.weight,
            layer.bias,
            padding=cast(tuple[int, int], layer.padding),
            stride=cast(tuple[int, int], layer.stride),
            dilation=cast(tuple[int, int], layer.dilation),
            groups=layer.groups,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self._compute(x)
