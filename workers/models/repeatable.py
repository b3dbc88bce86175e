"""Layers whose results on a CPU do not depend on the number of threads.

torch divides a layer's work among its threads, and three of its kernels round differently with the division: SiLU (the
scalar code that finishes each thread's share uses another exponential than the vector code), GroupNorm on channels-last
pictures (sums are gathered per thread), and oneDNN's pointwise convolution (which may divide the sum over channels).
The layers here compute the same functions from kernels that do not; measured, that costs an AutoencoderKL about 8 % and
the small AudioVAE about 25 % of its time on a CPU.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_BLOCK = 1 << 18  # values at a time: the intermediate results stay in the cache


def make_repeatable(module: nn.Module) -> None:
    """Replace such layers inside a module, in place, for inference on a CPU.

    Parameters are shared with the layers they replace, but their names in `state_dict()` change.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.SiLU):
            setattr(module, name, _SiLU())
        elif isinstance(child, nn.GroupNorm):
            setattr(module, name, _GroupNorm(child))
        elif isinstance(child, nn.Conv1d | nn.Conv2d) and _is_pointwise(child):
            setattr(module, name, _Pointwise(child))
        else:
            make_repeatable(child)


def _is_pointwise(conv: nn.Conv1d | nn.Conv2d) -> bool:
    ones = (*conv.kernel_size, *conv.stride, conv.groups)
    return all(value == 1 for value in ones) and all(value == 0 for value in conv.padding)


def _is_channels_last(x: Tensor) -> bool:
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def _blocks(x: Tensor) -> tuple[Tensor, ...]:
    """Views of a tensor's values in the order of memory, `_BLOCK` at a time."""
    return torch.split((x.permute(0, 2, 3, 1) if _is_channels_last(x) else x).view(-1), _BLOCK)


class _SiLU(nn.Module):
    """x / (1 + exp(-x)) in float32, from an exponential without a scalar variant and arithmetic that rounds one way."""

    def forward(self, x: Tensor) -> Tensor:
        if not _is_channels_last(x):
            x = x.contiguous()
        out = torch.empty_like(x)
        for values, result in zip(_blocks(x), _blocks(out), strict=True):
            exact = values.float()
            denominator = exact.neg().exp_().add_(1.0)
            if result.dtype == torch.float32:
                torch.div(exact, denominator, out=result)
            else:
                result.copy_(exact.div_(denominator))
        return out


class _GroupNorm(nn.Module):
    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        if not (_is_channels_last(x) and x.dtype == torch.float32):
            out: Tensor = self.norm(x.contiguous())  # group by group, each by one thread
            return out
        num_rows, width, height, length = x.shape
        groups = self.norm.num_groups
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # [B, H*W, C], a view
        # Two sums for each channel over the picture; the few values that remain are combined in float64.
        mean = pixels.mean(1).double().view(num_rows, groups, -1).mean(-1)  # [B, G]
        power = torch.linalg.vector_norm(pixels, dim=1).double().square().view(num_rows, groups, -1).mean(-1)
        variance = (power / (height * length) - mean.square()).clamp_(min=0.0)
        per_channel = width // groups
        deviation = (variance + self.norm.eps).sqrt_().repeat_interleave(per_channel, 1)  # [B, C]
        scale = self.norm.weight / deviation
        shift = self.norm.bias - mean.repeat_interleave(per_channel, 1) * scale
        y = torch.empty_like(pixels)
        block = max(1, _BLOCK // width)
        for row, row_scale, row_shift, row_y in zip(pixels, scale.float(), shift.float(), y, strict=True):
            for values, result in zip(torch.split(row, block), torch.split(row_y, block), strict=True):
                torch.mul(values, row_scale, out=result).add_(row_shift)
        return y.view(num_rows, height, length, width).permute(0, 3, 1, 2)


class _Pointwise(nn.Module):
    """A convolution with kernels of size 1, as the matrix product that it is."""

    def __init__(self, conv: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.conv: Any = conv

    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor = self.conv.weight.flatten(1)  # [C_out, C_in]
        if _is_channels_last(x):
            return functional.linear(x.permute(0, 2, 3, 1), weight, self.conv.bias).permute(0, 3, 1, 2)
        y = weight @ x.flatten(2)  # [B, C_out, T] or [B, C_out, H*W]
        if self.conv.bias is not None:
            y += self.conv.bias.unsqueeze(1)
        return y.view(len(x), -1, *x.shape[2:])
