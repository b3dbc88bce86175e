import pytest
import torch
from torch import nn

from workers.models import onednn
from workers.models.cpu_layers import use_cpu_layers
from workers.models.winograd import WinogradConvolution

pytestmark = pytest.mark.skipif(not onednn.computes(torch.float32), reason="torch without oneDNN")


def test_replaces_what_is_faster_at_any_depth() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1), nn.Sequential(nn.SiLU(), nn.Conv2d(64, 64, 3, padding=1)), nn.Linear(8, 8)
    )
    x = torch.randn(2, 1, 16, 8)
    with torch.inference_mode():
        expected = module(x)
        use_cpu_layers(module)
        torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=1e-5)
    assert isinstance(module[0], onednn.Convolution)
    assert isinstance(module[1][1], WinogradConvolution)
    assert isinstance(module[2], onednn.Linear)


def test_keeps_the_names_of_weights() -> None:
    module = nn.Sequential(nn.Conv2d(1, 64, 3), nn.Conv2d(64, 64, 3, padding=1), nn.Linear(64, 8))
    before = set(module.state_dict())
    use_cpu_layers(module)
    assert set(module.state_dict()) == before


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3).double(),
        nn.Linear(4, 4).double(),
        nn.Conv1d(4, 4, 3),
    ],
)
def test_leaves_other_layers(layer: nn.Module) -> None:
    module = nn.Sequential(layer)
    use_cpu_layers(module)
    assert module[0] is layer
