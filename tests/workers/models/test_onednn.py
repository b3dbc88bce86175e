import pytest
import torch
from torch import nn

from workers.models import onednn

pytestmark = pytest.mark.skipif(not onednn.computes(torch.float32), reason="torch without oneDNN")

CONVOLUTIONS = {
    "pointwise": nn.Conv2d(48, 64, 1),
    "without_bias": nn.Conv2d(48, 64, 3, padding=1, bias=False),
    "strided": nn.Conv2d(48, 64, 3, stride=2),
    "dilated": nn.Conv2d(48, 64, 3, dilation=(1, 2), padding=(0, 3)),
    "grouped": nn.Conv2d(48, 64, (1, 5), groups=4),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolutions(name: str, layout: torch.memory_format) -> None:
    ours = onednn.Convolution(CONVOLUTIONS[name])
    with torch.inference_mode():
        for height, width in [(19, 12), (8, 32), (19, 12)]:
            x = torch.randn(2, 48, height, width).to(memory_format=layout)
            y = ours(x)
            torch.testing.assert_close(y, CONVOLUTIONS[name](x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_bits_do_not_depend_on_the_size_that_weights_were_laid_out_for(name: str) -> None:
    x = torch.randn(1, 48, 19, 12).to(memory_format=torch.channels_last)
    first, later = onednn.Convolution(CONVOLUTIONS[name]), onednn.Convolution(CONVOLUTIONS[name])
    with torch.inference_mode():
        later(torch.randn(1, 48, 64, 64).to(memory_format=torch.channels_last))
        assert torch.equal(first(x), later(x))


def test_linear() -> None:
    layer = nn.Linear(48, 64)
    x = torch.randn(3, 7, 48)
    with torch.inference_mode():
        torch.testing.assert_close(onednn.Linear(layer)(x), layer(x), atol=1e-5, rtol=1e-5)


def test_types_that_it_computes() -> None:
    assert onednn.computes(torch.float32)
    assert not onednn.computes(torch.float64)
