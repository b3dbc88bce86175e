"""The layers against torch's own, and against themselves with other numbers of threads."""

import pytest
import torch
from torch import nn

from workers.models.repeatable import make_repeatable

LAYERS = {
    "silu": nn.SiLU(),
    "group_norm": nn.GroupNorm(8, 64),
    "pointwise": nn.Conv2d(64, 48, 1),
    "pointwise_without_bias": nn.Conv2d(64, 48, 1, bias=False),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.usefixtures("threads")
def test_equals_torch_for_any_number_of_threads(layer: str, dtype: torch.dtype, layout: torch.memory_format) -> None:
    x = torch.randn(3, 64, 71, 33, generator=torch.Generator().manual_seed(0)) * 2 + 3
    x = x.to(dtype=dtype, memory_format=layout)
    native = LAYERS[layer].to(dtype)
    ours = nn.Sequential(native)
    make_repeatable(ours)
    assert type(ours[0]) is not type(native)
    with torch.inference_mode():
        torch.set_num_threads(1)
        expected = ours(x)
        for num_threads in (2, 3, 5):
            torch.set_num_threads(num_threads)
            assert torch.equal(ours(x), expected), num_threads
        tolerance = 1e-5 if dtype == torch.float32 else 3e-2
        torch.testing.assert_close(expected, native(x), atol=tolerance, rtol=tolerance)


def test_one_dimensional_pointwise() -> None:
    conv = nn.Conv1d(16, 24, 1)
    ours = nn.Sequential(conv)
    make_repeatable(ours)
    x = torch.randn(2, 16, 50)
    torch.testing.assert_close(ours(x), conv(x))


def test_other_convolutions_stay() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1, stride=2), nn.Conv2d(4, 4, 1, groups=2))
    before = list(module)
    make_repeatable(module)
    assert list(module) == before
