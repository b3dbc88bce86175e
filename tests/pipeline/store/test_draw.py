"""Drawing many is drawing each."""

import numpy as np
import pytest

from pipeline.store.draw import draw_latents, draw_seed, unit_noises
from workers.noise import unit_noise


def test_noise_of_many_seeds_is_that_of_each() -> None:
    seeds = [0, 7, 2**64 - 1, 2**63, 7]
    expected = np.stack([unit_noise(seed, (333,)) for seed in seeds])
    np.testing.assert_array_equal(unit_noises(seeds, 333), expected)
    assert unit_noises([], 5).shape == (0, 5)


@pytest.mark.parametrize("shape", [(3, 5), (4, 9, 7), (8, 64, 80)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_latents_are_those_of_the_definition(shape: tuple[int, ...], dtype: type) -> None:
    generator = np.random.default_rng(0)
    means, logvars = (generator.standard_normal((9, *shape)).astype(dtype) for _ in range(2))
    seeds = range(100, 109)
    drawn = draw_latents(seeds, means, logvars, seed=3, epoch=2)
    assert drawn[0].dtype == np.float32
    for latent, row_seed, mean, logvar in zip(drawn, seeds, means, logvars, strict=True):
        noise = unit_noise(draw_seed(row_seed, seed=3, epoch=2), shape)
        deviation = np.exp(np.float32(0.5) * logvar.astype(np.float32))
        np.testing.assert_array_equal(latent, mean.astype(np.float32) + deviation * noise)
    listed = draw_latents(seeds, list(means), list(logvars), seed=3, epoch=2)
    assert isinstance(listed, list)
    np.testing.assert_array_equal(np.stack(listed), drawn)
