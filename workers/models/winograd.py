"""3×3 convolutions with half of the multiplications: F(4, 3) of Winograd, along the height.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", https://arxiv.org/abs/1509.09308. Four outputs of a
filter of three taps are a product of polynomials, which six multiplications give instead of twelve:

    rows of x      d0 d1 d2 d3 d4 d5          a tile reads 6 rows, the next begins 4 rows below
    input  B'd     u0 u1 u2 u3 u4 u5          sums of rows
    times  Gg      m0 m1 m2 m3 m4 m5          six 1×3 convolutions along the width, by oneDNN
    output A'm        y0 y1 y2 y3             sums of rows

The paper transforms both axes, which spares four times as many multiplications. Measured, that gains nothing more: the
products that are left are too thin for oneDNN to be fast at. Along one axis the transforms are sums of whole rows of a
channels-last picture, 15 % of the time.

Precision depends on the points at which the polynomials are evaluated (Barabasz et al., https://arxiv.org/abs/1803.10986).
With the usual 0, 1, -1, 2, -2 and infinity the error is twice that of direct summation, with those below 1.2 times.
"""

from functools import cached_property

import torch
from torch import Tensor, nn

from workers.models.onednn import PackedConvolution

_TILE = 4  # outputs, from six inputs
_STRIP = 1 << 20  # values of a picture at a time: what a strip needs stays in the cache
_MIN_CHANNELS = 64  # below, the six products are too thin to be fast
# What the six products take of a filter's three taps: its polynomial at 0, 2/3, -2/3, 4/3, -4/3 and infinity, each row
# scaled so that the sums below need few factors.
_FILTER_TRANSFORM = (
    (1, 0, 0),
    (2 / 3, 4 / 9, 8 / 27),
    (-2 / 3, 4 / 9, -8 / 27),
    (-2 / 9, -8 / 27, -32 / 81),
    (2 / 9, -8 / 27, 32 / 81),
    (0, 0, 64 / 81),
)
_BIAS_TRANSFORM = (-1 / 8, 1 / 2, 0, 2 / 3, 0, -1 / 9)  # what the sums of products turn into 1 in each output


class WinogradConvolution(nn.Module):
    """Takes the place of an `nn.Conv2d` for which `pays` is true.

    Args:
        layer: Its weights are transformed in float64 and rounded to float32 once.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    @cached_property
    def _products(self) -> list[PackedConvolution]:
        """The six 1×3 convolutions; made when they are first used, since an encoding job never uses a decoder."""
        taps = torch.tensor(_FILTER_TRANSFORM, dtype=torch.float64)
        filters = torch.einsum("ph,oihw->poiw", taps, self.weight.double()).float().unsqueeze(3)
        bias = self.weight.new_zeros(len(self.weight)) if self.bias is None else self.bias
        return [
            PackedConvolution(weight.contiguous(memory_format=torch.channels_last), bias * share, padding=(0, 1))
            for weight, share in zip(filters, _BIAS_TRANSFORM, strict=True)
        ]

    @staticmethod
    def pays(layer: nn.Module) -> bool:
        """Whether a layer is a float32 convolution that is faster in this form."""
        return (
            isinstance(layer, nn.Conv2d)
            and layer.weight.dtype == torch.float32
            and layer.kernel_size == (3, 3)
            and layer.stride == layer.dilation == (1, 1)
            and layer.padding == (1, 1)
            and layer.padding_mode == "zeros"
            and layer.groups == 1
            and min(layer.in_channels, layer.out_channels) >= _MIN_CHANNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, H, W] to [B, C_out, H, W], channels-last."""
        num_rows, width, height, length = x.shape
        tiles = -(-height // _TILE)
        y = x.new_empty(num_rows, tiles * _TILE, length, len(self.weight))
        tiles_at_once = max(1, _STRIP // (_TILE * width * length))
        for pixels, result in zip(x.permute(0, 2, 3, 1), y, strict=True):  # [H, W, C]
            for first in range(0, tiles, tiles_at_once):
                start, stop = first * _TILE, min(first + tiles_at_once, tiles) * _TILE
                self._strip(_rows(pixels, start - 1, stop + 1), result[start:stop])
        return y[:, :height].permute(0, 3, 1, 2)

    def _strip(self, x: Tensor, y: Tensor) -> None:
        """Rows [4 * tiles + 2, W, C_in] to rows [4 * tiles, W, C_out], written into `y`."""
        tiles = len(y) // _TILE
        d0, d1, d2, d3, d4, d5 = (x[index::_TILE][:tiles] for index in range(_TILE + 2))
        odd, even = torch.sub(d1, d3, alpha=9 / 16), torch.sub(d2, d4, alpha=9 / 16)
        far_odd, far_even = torch.sub(d1, d3, alpha=9 / 4), torch.sub(d2, d4, alpha=9 / 4)
        transformed = (
            torch.sub(d0, d2, alpha=45 / 16).add_(d4, alpha=81 / 64),
            torch.add(odd, even, alpha=3 / 2),
            odd.sub_(even, alpha=3 / 2),
            torch.add(far_odd, far_even, alpha=3 / 4),
            far_odd.sub_(far_even, alpha=3 / 4),
            torch.sub(d1, d3, alpha=45 / 16).add_(d5, alpha=81 / 64),
        )
        m0, m1, m2, m3, m4, m5 = (
            product(u.permute(2, 0, 1).unsqueeze(0)).squeeze(0).permute(1, 2, 0)
            for product, u in zip(self._products, transformed, strict=True)
        )
        even, far_even = m1 + m2, m3 + m4
        odd, far_odd = m1.sub_(m2), m3.sub_(m4)
        torch.add(m0.add_(even, alpha=3 / 2), far_even, alpha=9 / 16, out=y[0::_TILE])
        torch.add(odd, far_odd, alpha=3 / 4, out=y[1::_TILE])
        torch.add(far_even, even, alpha=2 / 3, out=y[2::_TILE])
        torch.add(m5.add_(odd, alpha=4 / 9), far_odd, alpha=4 / 3, out=y[3::_TILE])


def _rows(pixels: Tensor, start: int, stop: int) -> Tensor:
    """Rows [start, stop) of a picture [H, W, C]; zeros where it has none."""
    above, below = max(0, -start), max(0, stop - len(pixels))
    rows = pixels[max(0, start) : stop]
    return nn.functional.pad(rows, (0, 0, 0, 0, above, below)) if above or below else rows
