"""The blocks that diffusers' VAEs are made of, for a CPU: fewer passes over memory and, in float32, faster products."""

from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from workers.models import onednn
from workers.models.group_norm import ChannelsLastGroupNorm

_QUERIES = 256  # at a time: their scores stay in the cache


def use_cpu_blocks(module: nn.Module) -> None:
    """Replace blocks inside a module, in place; those of a kind that AutoencoderKL does not have stay as they are."""
    for name, child in module.named_children():
        if isinstance(child, ResnetBlock2D):
            if _is_plain_residual(child):
                setattr(module, name, ResidualBlock(child))
        elif isinstance(child, Attention):
            if _is_plain_attention(child):
                setattr(module, name, SelfAttention(child))
        elif isinstance(child, nn.GroupNorm):
            setattr(module, name, _norm(child))
        else:
            use_cpu_blocks(child)


class ResidualBlock(nn.Module):
    """Two pre-activated convolutions beside a shortcut."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1 = _norm(block.norm1, with_silu=True)
        self.conv1 = block.conv1
        self.norm2 = _norm(block.norm2, with_silu=True)
        self.conv2 = block.conv2
        self.shortcut = block.conv_shortcut or nn.Identity()

    def forward(self, x: Tensor, *_time: Any, **_embedding: Any) -> Tensor:
        """[B, C_in, H, W] to [B, C_out, H, W]."""
        y: Tensor = self.conv2(self.norm2(self.conv1(self.norm1(x))))
        return y.add_(self.shortcut(x))


class SelfAttention(nn.Module):
    """A picture attends to itself, in float32: other types keep torch's own kernel, which keeps their scores exact."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.norm = ChannelsLastGroupNorm(attention.group_norm)
        self.to_q, self.to_k, self.to_v = attention.to_q, attention.to_k, attention.to_v
        self.to_out = attention.to_out[0]  # what follows is dropout
        self._heads = attention.heads

    def forward(self, x: Tensor, *_time: Any, **_embedding: Any) -> Tensor:
        """[B, C, H, W] to the same."""
        pixels = self.norm(x).permute(0, 2, 3, 1)  # [B, H, W, C]
        attended = torch.stack([self._attend(picture.flatten(0, 1)) for picture in pixels])
        y: Tensor = self.to_out(attended).view_as(pixels)
        return y.permute(0, 3, 1, 2).add_(x)

    def _attend(self, pixels: Tensor) -> Tensor:
        """[H*W, C] to the same."""
        q, k, v = (part(pixels).chunk(self._heads, 1) for part in (self.to_q, self.to_k, self.to_v))
        return torch.cat([_one_head(*head) for head in zip(q, k, v, strict=True)], 1)


def _one_head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """[pixels, width] each."""
    queries = (q * q.shape[1] ** -0.5).split(_QUERIES)
    keys, values = k.contiguous(), v.t().contiguous()
    return torch.cat([onednn.linear(torch.softmax(onednn.linear(some, keys), 1), values) for some in queries])


def _norm(layer: nn.GroupNorm, *, with_silu: bool = False) -> nn.Module:
    if _is_float32(layer):
        return ChannelsLastGroupNorm(layer, with_silu=with_silu)
    return nn.Sequential(layer, nn.SiLU(inplace=True)) if with_silu else layer


def _is_float32(layer: nn.Module) -> bool:
    return all(parameter.dtype == torch.float32 for parameter in layer.parameters())


def _is_plain_residual(block: Any) -> bool:
    return (
        isinstance(block.nonlinearity, nn.SiLU)
        and block.upsample is None
        and block.downsample is None
        and block.time_emb_proj is None
        and block.time_embedding_norm in ("default", "group")
        and block.output_scale_factor == 1
    )


def _is_plain_attention(block: Any) -> bool:
    return (
        _is_float32(block)
        and onednn.computes(torch.float32)
        and block.group_norm is not None
        and block.spatial_norm is None
        and block.norm_q is None
        and block.norm_k is None
        and not block.is_cross_attention
        and block.residual_connection
        and block.rescale_output_factor == 1
    )
