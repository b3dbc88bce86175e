import pytest
import torch
from torch import nn
from torch.nn import functional

from workers.models import group_norm
from workers.models.group_norm import ChannelsLastGroupNorm


@pytest.mark.parametrize("with_silu", [True, False])
@pytest.mark.parametrize("offset", [0.0, 300.0])
@pytest.mark.parametrize("strip", [100, 1 << 17])
def test_equals_group_norm_in_float64(
    with_silu: bool, offset: float, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_norm, "_STRIP", strip)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 64, 31, 17, generator=generator) + offset
    layer = nn.GroupNorm(8, 64, eps=1e-3)
    nn.init.normal_(layer.weight, generator=generator)
    nn.init.normal_(layer.bias, generator=generator)
    with torch.inference_mode():
        y = ChannelsLastGroupNorm(layer, with_silu=with_silu)(x)
        expected = layer.double()(x.double())
    assert y.is_contiguous(memory_format=torch.channels_last)
    # Values near `offset` have lost 2**-24 of it before they come here, and the shift takes it off again.
    tolerance = 5e-6 + 5e-7 * offset
    torch.testing.assert_close(
        y.double(), functional.silu(expected) if with_silu else expected, atol=tolerance, rtol=1e-6
    )


def test_input_is_not_changed() -> None:
    x = torch.randn(1, 32, 8, 8).to(memory_format=torch.channels_last)
    before = x.clone()
    with torch.inference_mode():
        ChannelsLastGroupNorm(nn.GroupNorm(4, 32), with_silu=True)(x)
    assert torch.equal(x, before)
