"""Shapes of one's own make sound, and those that do not fit together are refused."""

from math import prod
from typing import Any

import pytest
import torch

from jobs.identity import identity
from jobs.load import load_job
from workers.models.audiogen.audiogen import AudioGen, Clip
from workers.models.audiogen.audiogen_spec import AudioGenSpec
from workers.models.audiogen.custom_shape import CustomShape

SMALL = {"text_hidden_dim": 24, "lm_hidden_dim": 32, "num_lm_layers": 1, "num_heads": 2, "codec_filters": 4}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_codebooks": 6, "codebook_size": 100, "sample_rate": 8_000, "max_text_length": 12},
        {"channels": 2, "sample_rate": 44_100, "max_duration_seconds": 1.0},
    ],
)
def test_any_shape_makes_sound(changes: dict[str, Any]) -> None:
    custom = CustomShape.model_validate(SMALL | changes)
    spec, _ = AudioGenSpec(weights="random", custom_shape=custom).resolved()
    model = AudioGen(spec, device=torch.device("cpu"), microbatch=2)
    frames = model.frames(1.5)
    (made,) = model.generate([Clip(prompt="rain", num_frames=frames, seed=1)])
    assert made.is_finite
    assert made.codes.shape == (custom.num_codebooks, frames)
    assert int(made.codes.max()) < custom.codebook_size
    assert made.waveform.shape == (custom.channels, frames * custom.sample_rate // 50)
    assert model.supports_stereo == (custom.channels == 2)
    assert model.is_ready
    assert model.supports_continuation
    assert model.supports_inpainting
    assert model.supports_negative_prompts
    told = model.metadata
    assert told["num_lm_layers"] == 1
    assert {name: told[name] for name in SMALL if name in told} == {n: v for n, v in SMALL.items() if n in told}
    assert told["window_seconds"] == custom.max_duration_seconds
    assert spec.resolved_text_encoder().max_text_length == custom.max_text_length


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
def test_the_codecs_stages_make_a_frame(rate: int) -> None:
    ratios = CustomShape(sample_rate=rate).shape().codec.ratios
    assert prod(ratios) * 50 == rate
    assert len(ratios) == 4
    assert max(ratios) <= 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm_hidden_dim": 30, "num_heads": 4}, "lm_hidden_dim is 30 and num_heads 4"),
        ({"channels": 2, "num_codebooks": 3}, "make it even"),
        ({"sample_rate": 11_025}, "no multiple of 50 frames a second"),
        ({"channels": 3}, "Input should be 1 or 2"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CustomShape.model_validate(SMALL | changes)


def test_only_random_weights_have_one() -> None:
    with pytest.raises(ValueError, match=r"custom_shape is for random weights, .* and weights is some/one"):
        AudioGenSpec(weights="some/one", custom_shape=CustomShape())
    with pytest.raises(ValueError, match="size is given too"):
        AudioGenSpec(weights="random", size="musicgen-small", custom_shape=CustomShape())


def test_it_is_part_of_a_jobs_identity() -> None:
    settings = ["source.path=p.csv", "output=o", "model.weights=random"]
    plain = load_job("generate_audiogen", settings)
    custom = load_job("generate_audiogen", [*settings, "model.custom_shape={num_lm_layers: 2}"])
    assert identity(plain, {}) != identity(custom, {})
