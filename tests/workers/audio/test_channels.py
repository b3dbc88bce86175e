"""Channel policies against their definitions."""

import math

import numpy as np
import pytest

from workers.audio.channels import mix

SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR")


def one_hot(channel: int, channels: int) -> np.ndarray:
    return np.eye(channels, dtype=np.float32)[channel : channel + 1]


@pytest.mark.parametrize("channels", range(1, 9))
def test_mono_is_the_mean(channels: int) -> None:
    samples = np.random.default_rng(channels).standard_normal((100, channels)).astype(np.float32)
    mixed = mix(samples, "mono")
    assert mixed.shape == (100, 1)
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed[:, 0], samples.astype(np.float64).mean(axis=1), atol=1e-6)


@pytest.mark.parametrize(("policy", "channels"), [("keep", 1), ("keep", 6), ("mono", 1), ("stereo", 2)])
def test_nothing_to_do_means_no_copy(policy: str, channels: int) -> None:
    samples = np.ones((4, channels), np.float32)
    assert mix(samples, policy) is samples  # type: ignore[arg-type]


def test_stereo_duplicates_mono() -> None:
    np.testing.assert_array_equal(mix(np.array([[1], [2]], np.float32), "stereo"), [[1, 1], [2, 2]])


def test_surround_downmix_follows_bs775() -> None:
    half_power = math.sqrt(0.5)
    scale = 1 + 2 * half_power
    expected = {
        "FL": (1, 0),
        "FR": (0, 1),
        "FC": (half_power,) * 2,
        "LFE": (0, 0),
        "BL": (half_power, 0),
        "BR": (0, half_power),
    }
    for channel, name in enumerate(SURROUND):
        mixed = mix(one_hot(channel, 6), "stereo", SURROUND)[0]
        np.testing.assert_allclose(mixed * scale, expected[name], atol=1e-6)


def test_full_scale_surround_does_not_clip() -> None:
    assert mix(np.ones((1, 6), np.float32), "stereo", SURROUND).max() == pytest.approx(1)


@pytest.mark.parametrize("names", [None, ("FL", "FR", "TFL", "TFR")])
def test_unknown_places_take_the_first_two(names: tuple[str, ...] | None) -> None:
    np.testing.assert_array_equal(mix(np.array([[1, 2, 3, 4]], np.float32), "stereo", names), [[1, 2]])


def test_input_is_not_changed() -> None:
    samples = np.ones((3, 3), np.float32)
    for policy in ("mono", "stereo", "keep"):
        mix(samples, policy, ("FL", "FR", "FC"))  # type: ignore[arg-type]
    assert (samples == 1).all()
