"""Against convolutions in float64. Direct summation in float32 has about half of the error that is allowed here."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.models import winograd
from workers.models.winograd import WinogradConvolution


def activations(*shape: int) -> Tensor:
    """What convolutions in a VAE see: SiLU of normal values, channels-last."""
    x = functional.silu(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    return x.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("height", [1, 3, 4, 5, 64, 66])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strip", [1, 20_000, 1 << 20])
def test_equals_the_convolution(height: int, bias: bool, strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_STRIP", strip)
    torch.manual_seed(0)
    layer = nn.Conv2d(128, 64, 3, padding=1, bias=bias)
    x = activations(2, 128, height, 17)
    with torch.inference_mode():
        y = WinogradConvolution(layer)(x)
        expected = layer.double()(x.double())
    assert y.shape == expected.shape
    assert (y - expected).abs().max() < 1e-5 * expected.std()


def test_a_constant_bias_comes_out_exactly_enough() -> None:
    layer = nn.Conv2d(64, 64, 3, padding=1)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, 3.0)
    with torch.inference_mode():
        y = WinogradConvolution(layer)(activations(1, 64, 8, 8))
    torch.testing.assert_close(y, torch.full_like(y, 3.0), atol=0, rtol=1e-6)


def test_a_row_does_not_depend_on_its_place() -> None:
    layer = WinogradConvolution(nn.Conv2d(64, 64, 3, padding=1))
    x = activations(3, 64, 12, 9)
    with torch.inference_mode():
        assert torch.equal(layer(x)[2], layer(x[2:].contiguous(memory_format=torch.channels_last))[0])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(64, 64, 3, padding=1), True),
        (nn.Conv2d(64, 64, 3, padding=1).bfloat16(), False),
        (nn.Conv2d(32, 64, 3, padding=1), False),
        (nn.Conv2d(64, 64, 3), False),
        (nn.Conv2d(64, 64, 3, padding=1, stride=2), False),
        (nn.Conv2d(64, 64, 3, padding=1, groups=2), False),
        (nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"), False),
        (nn.Conv2d(64, 64, (1, 3), padding=1), False),
        (nn.Conv1d(64, 64, 3, padding=1), False),
    ],
)
def test_where_it_pays(layer: nn.Module, expected: bool) -> None:
    assert WinogradConvolution.pays(layer) is expected
