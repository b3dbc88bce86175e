"""The rules that hold before any metric."""

from typing import Any

import numpy as np
import pytest

from workers.metrics.pair import MismatchError, Pair

CLIP = np.linspace(-0.5, 0.5, 1000)


def pair(
    reference: Any = CLIP, degraded: Any = CLIP, rates: tuple[int, int] = (16_000, 16_000), hop: int = 256
) -> Pair:
    return Pair.of(reference, degraded, reference_rate_hz=rates[0], degraded_rate_hz=rates[1], hop_length=hop)


@pytest.mark.parametrize("lengths", [(1000, 1000), (1000, 744), (744, 1000), (1, 257), (0, 256), (0, 0)])
def test_is_cut_to_the_shorter(lengths: tuple[int, int]) -> None:
    both = np.resize(CLIP, lengths[0]), np.resize(CLIP, lengths[1])
    found = pair(*both)
    assert found.num_samples == len(found.degraded) == min(lengths)
    np.testing.assert_array_equal(found.reference, both[0][: min(lengths)])
    np.testing.assert_array_equal(found.degraded, both[1][: min(lengths)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"degraded": CLIP[:743]}, r"1000 samples .* 743: 1000 - 743 = 257, but they may differ by 256 \(one hop\)"),
        ({"reference": CLIP[:743]}, "743 - 1000 = -257"),
        ({"degraded": CLIP[:999], "hop": 0}, "1000 - 999 = 1, but they may differ by 0"),
        ({"rates": (16_000, 16_001)}, "16000 Hz and the degraded clip 16001 Hz: resample one"),
    ],
)
def test_refuses_what_does_not_belong_together(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        pair(**change)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"reference": np.zeros(9, np.int16)}, TypeError, "the reference has int16 samples: scale them"),
        ({"degraded": np.zeros(9, np.complex128)}, TypeError, "the degraded clip has complex128 samples"),
        ({"degraded": np.zeros((1, 2, 9))}, ValueError, r"the degraded clip has the shape \[1, 2, 9\]"),
        ({"reference": np.zeros(())}, ValueError, r"the reference has the shape \[\]"),
        ({"reference": np.zeros((0, 9))}, ValueError, r"the reference has the shape \[0, 9\]"),
    ],
)
def test_refuses_what_is_no_clip(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pair(**change)


def test_channels_are_averaged_in_float64() -> None:
    stereo = np.stack([CLIP, 3 * CLIP]).astype(np.float32)
    expected = (stereo[0].astype(np.float64) + stereo[1].astype(np.float64)) / 2
    np.testing.assert_array_equal(pair(stereo, CLIP[None]).reference, expected)
    np.testing.assert_array_equal(pair(stereo, CLIP[None]).degraded, CLIP)


def test_what_was_given_is_neither_changed_nor_frozen() -> None:
    given = CLIP.copy()
    found = pair(given)
    with pytest.raises(ValueError, match="read-only"):
        found.reference[0] = 1.0
    given[0] = 0.25
    assert given[0] == 0.25


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_samples_keep_their_values(dtype: type[np.floating]) -> None:
    found = pair(CLIP.astype(dtype)).reference
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, CLIP.astype(dtype).astype(np.float64))


def obstacle(reference: Any, degraded: Any, least: int = 2) -> str | None:
    return pair(reference, degraded).obstacle(min_samples=least, reference_sounds=True, degraded_sounds=True)


def test_obstacles() -> None:
    silence = np.zeros(1000)
    for bad in (np.nan, np.inf, -np.inf, 1e200):
        broken = CLIP.copy()
        broken[3] = bad
        assert obstacle(broken, CLIP) == obstacle(CLIP, broken) == obstacle(broken, silence) == "nonfinite"
        assert obstacle(np.stack([CLIP, broken]), CLIP) == "nonfinite"
    assert obstacle(CLIP[:1], CLIP[:1]) == obstacle(silence[:1], silence[:1]) == "too_short"
    assert obstacle(silence, CLIP) == obstacle(silence, silence) == "silent_reference"
    assert obstacle(CLIP, silence) == "silent_degraded"
    assert obstacle(CLIP, CLIP) is None
    assert pair(silence, silence).obstacle(min_samples=1, reference_sounds=False, degraded_sounds=False) is None
