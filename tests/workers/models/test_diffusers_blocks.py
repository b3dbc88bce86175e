"""The blocks and layers for CPUs, together, against diffusers' own."""

import copy
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from workers.models import onednn
from workers.models.cpu_layers import use_cpu_layers
from workers.models.diffusers_blocks import ResidualBlock, SelfAttention, use_cpu_blocks


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("threads")
    torch.set_num_threads(1)  # as these layers are always run


@pytest.fixture(scope="module")
def model() -> AutoencoderKL:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoencoderKL(
            in_channels=1,
            out_channels=1,
            down_block_types=["DownEncoderBlock2D"] * 3,
            up_block_types=["UpDecoderBlock2D"] * 3,
            block_out_channels=[64, 96, 128],
            layers_per_block=2,
            latent_channels=8,
        )
    return model.eval().requires_grad_(False)


def on_cpu(model: AutoencoderKL, dtype: torch.dtype) -> Any:
    ours = copy.deepcopy(model)
    nn.Module.to(ours, dtype)
    use_cpu_blocks(ours)
    use_cpu_layers(ours)
    return ours


def picture() -> torch.Tensor:
    return torch.randn(2, 1, 72, 32, generator=torch.Generator().manual_seed(1)) * 3 - 5


def test_float32_is_as_exact_as_diffusers(model: AutoencoderKL) -> None:
    ours = on_cpu(model, torch.float32)
    exact = copy.deepcopy(model).double()
    with torch.inference_mode():
        moments = ours.encode(picture()).latent_dist.parameters
        expected = exact.encode(picture().double()).latent_dist.parameters
        assert (moments - expected).abs().max() < 2e-5 * expected.std()
        theirs = model.encode(picture()).latent_dist.parameters
        assert (moments - theirs).abs().max() < 2e-5 * theirs.std()
        latent = expected[:, :8]
        decoded, expected = ours.decode(latent.float()).sample, exact.decode(latent).sample
        # diffusers' own decoder in float32 is as far from this.
        assert (decoded - expected).abs().max() < 1e-4 * expected.std()


def test_bfloat16_is_no_less_exact_than_diffusers(model: AutoencoderKL) -> None:
    ours = on_cpu(model, torch.bfloat16)
    theirs = nn.Module.to(copy.deepcopy(model), torch.bfloat16)
    with torch.inference_mode():
        expected = model.encode(picture()).latent_dist.parameters
        error = (ours.encode(picture().bfloat16()).latent_dist.parameters - expected).square().mean().sqrt()
        native = (theirs.encode(picture().bfloat16()).latent_dist.parameters - expected).square().mean().sqrt()
    assert error < 1.2 * native


@pytest.mark.skipif(not onednn.computes(torch.float32), reason="torch without oneDNN")
def test_every_block_is_replaced(model: AutoencoderKL) -> None:
    kinds = [type(module) for module in on_cpu(model, torch.float32).modules()]
    assert kinds.count(ResidualBlock) == sum(isinstance(module, ResnetBlock2D) for module in model.modules())
    assert kinds.count(SelfAttention) == 2
    assert not {ResnetBlock2D, Attention, nn.GroupNorm, nn.Conv2d, nn.Linear} & set(kinds)


@pytest.mark.skipif(not onednn.computes(torch.float32), reason="torch without oneDNN")
@pytest.mark.parametrize("heads", [1, 4])
def test_attention(heads: int) -> None:
    options = {"dim_head": 64 // heads, "norm_num_groups": 8, "residual_connection": True, "bias": True}
    attention = Attention(64, heads=heads, **options, _from_deprecated_attn_block=True).eval()
    ours = nn.Sequential(attention)
    use_cpu_blocks(ours)
    assert isinstance(ours[0], SelfAttention)
    x = torch.randn(2, 64, 20, 17) * 2  # more pixels than are attended to at a time
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), attention(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "block",
    [
        ResnetBlock2D(in_channels=32, temb_channels=16),
        ResnetBlock2D(in_channels=32, temb_channels=None, output_scale_factor=2.0),
        ResnetBlock2D(in_channels=32, temb_channels=None, non_linearity="gelu"),
        ResnetBlock2D(in_channels=32, temb_channels=None, down=True),
        Attention(32, norm_num_groups=8),
        Attention(32, norm_num_groups=8, residual_connection=True, rescale_output_factor=2.0),
        Attention(32, norm_num_groups=8, residual_connection=True, cross_attention_dim=16),
        Attention(32, norm_num_groups=8, residual_connection=True).bfloat16(),
    ],
)
def test_other_blocks_stay_as_they_are(block: nn.Module) -> None:
    module = nn.Sequential(block)
    before = [type(part) for part in module.modules()]
    use_cpu_blocks(module)
    assert [type(part) for part in module.modules()] == before
