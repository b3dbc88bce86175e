"""GroupNorm of channels-last pictures on a CPU, with or without SiLU behind it.

torch sums squares and subtracts the squared mean, in float32: where a group's mean is far from zero, little is left of
its variance. Here squares are taken about the mean, which made an AutoencoderKL's latents three times as exact.
Scaling and SiLU go over a strip while it is in the cache.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_STRIP = 1 << 17  # values at a time


class ChannelsLastGroupNorm(nn.Module):
    """Takes the place of an `nn.GroupNorm` in float32.

    Args:
        layer: What it replaces.
        with_silu: Whether SiLU follows.
    """

    def __init__(self, layer: nn.GroupNorm, *, with_silu: bool = False) -> None:
        super().__init__()
        self._groups, self._eps, self._with_silu = layer.num_groups, layer.eps, with_silu
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same, channels-last."""
        pictures = x.permute(0, 2, 3, 1).contiguous()
        y = torch.empty_like(pictures)
        for picture, result in zip(pictures.flatten(1, 2), y.flatten(1, 2), strict=True):  # [H*W, C]
            self._normalise(picture, result)
        return y.permute(0, 3, 1, 2)

    def _normalise(self, x: Tensor, y: Tensor) -> None:
        at_once = max(1, _STRIP // x.shape[1])
        # What remains per channel is few values: they are combined in float64.
        mean = self._group_means(x.mean(0).double())
        centre = mean.float()
        squares = x.new_zeros(x.shape[1], dtype=torch.float64)
        for strip in torch.split(x, at_once):
            squares += (strip - centre).square_().sum(0)
        scale = self.weight / (self._group_means(squares / len(x)) + self._eps).sqrt_()
        shift = (self.bias - mean * scale).float()
        scale = scale.float()
        for strip, result in zip(torch.split(x, at_once), torch.split(y, at_once), strict=True):
            torch.addcmul(shift, strip, scale, out=result)
            if self._with_silu:
                functional.silu(result, inplace=True)

    def _group_means(self, values: Tensor) -> Tensor:
        """Each channel's value [C] replaced by the mean over its group."""
        groups = values.view(self._groups, -1)
        return groups.mean(1, keepdim=True).expand_as(groups).reshape(-1)
