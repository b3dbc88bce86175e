"""Named shapes are those that were published, and run with random weights."""

from math import prod
from typing import get_args

import pytest
import torch

from workers.models.audiogen.codec import Codec
from workers.models.audiogen.lm_state import check_lm_state, lm_state_shapes
from workers.models.audiogen.random_checkpoint import random_checkpoint, random_lm_state
from workers.models.audiogen.sizes import Size, shape_of
from workers.models.audiogen.text_encoder import TextEncoder
from workers.models.audiogen.text_encoder_spec import TextEncoderSpec


@pytest.mark.parametrize(
    ("size", "billions", "sample_rate", "channels"),
    [
        ("audiogen-medium", 1.84, 16_000, 1),
        ("musicgen-small", 0.42, 32_000, 1),
        ("musicgen-medium", 1.84, 32_000, 1),
        ("musicgen-large", 3.26, 32_000, 1),
        ("musicgen-stereo-small", 0.44, 32_000, 2),
    ],
)
def test_published_sizes(size: Size, billions: float, sample_rate: int, channels: int) -> None:
    """Weights of the language models within a hundredth of a billion; AudioGen's has 1.84."""
    shape = shape_of(size)
    count = sum(prod(tensor) for tensor in lm_state_shapes(shape.lm).values())
    assert count / 1e9 == pytest.approx(billions, abs=0.01)
    assert (shape.sample_rate, shape.channels, shape.frame_rate_hz) == (sample_rate, channels, 50)


@pytest.mark.parametrize("size", get_args(Size))
def test_every_name_has_a_shape(size: Size) -> None:
    assert shape_of(size).lm.dim % shape_of(size).lm.num_heads == 0


def test_debug_runs_from_text_to_sound() -> None:
    checkpoint = random_checkpoint(shape_of("debug"), seed=1)
    shape = checkpoint.shape
    check_lm_state(checkpoint.lm_state, shape.lm, source="random")
    text = TextEncoder(TextEncoderSpec(weights="random", random_dim=shape.lm.text_dim)).encode(["rain"])
    assert (text.hidden @ checkpoint.lm_state["text_projection.weight"].T).shape == (1, 5, shape.lm.dim)
    codec = Codec(shape, checkpoint.codec_state)
    sound = codec.decode(torch.randint(shape.lm.card, (1, 4, 25), generator=torch.Generator().manual_seed(0)))
    assert sound.shape == (1, 1, 8000)
    assert 0.01 < sound.std() < 1
    assert codec.encode(sound).shape == (1, 4, 25)


def test_random_weights_are_a_function_of_shape_and_seed() -> None:
    shape, before = shape_of("debug"), torch.random.get_rng_state()
    first, again, other = (random_checkpoint(shape, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for state, same, differs in (
        (first.lm_state, again.lm_state, other.lm_state),
        (first.codec_state, again.codec_state, other.codec_state),
    ):
        assert all(torch.equal(same[name], tensor) for name, tensor in state.items())
        assert any(not torch.equal(differs[name], tensor) for name, tensor in state.items())


def test_random_weights_in_another_type() -> None:
    shape = shape_of("debug").lm
    exact, half = random_lm_state(shape, 1), random_lm_state(shape, 1, dtype=torch.float16)
    assert all(torch.equal(half[name], tensor.half()) for name, tensor in exact.items())


def test_random_matrices_keep_the_variance_of_what_flows_through() -> None:
    state = random_lm_state(shape_of("debug").lm, 1)
    for name in ("embeddings.0", "heads.weight", "layers.0.qkv.weight"):
        assert float(state[name].square().sum(dim=1).mean()) == pytest.approx(1.0, abs=0.1)
    assert torch.equal(state["out_norm.weight"], torch.ones(32))
    assert not state["layers.1.norm2.bias"].any()
