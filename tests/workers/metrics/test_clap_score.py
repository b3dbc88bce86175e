"""The reference is SciPy's cosine distance."""

import math

import numpy as np
import pytest
import scipy.spatial.distance
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.metrics.clap_score import clap_score
from workers.metrics.outcome import Score


def embedding(seed: int, gain: float = 1.0) -> NDArray[np.float32]:
    return (gain * np.random.default_rng(seed).standard_normal(512)).astype(np.float32)


def test_equals_scipy() -> None:
    for seed in range(10):
        prompt, clip = embedding(seed), embedding(seed + 50, 7.0)
        expected = 1 - scipy.spatial.distance.cosine(prompt.astype(float), clip.astype(float))
        assert clap_score(prompt, clip).value == pytest.approx(expected, abs=1e-14)


def test_lengths_do_not_count() -> None:
    prompt, clip = embedding(0).astype(float), embedding(1).astype(float)
    expected = clap_score(prompt, clip).value
    for gain in (1e-300, 1e300):
        assert clap_score(gain * prompt, clip).value == pytest.approx(expected, rel=1e-12)


def test_the_ends_of_its_scale() -> None:
    one = embedding(3)
    for other, expected in ((one, 1.0), (-one, -1.0)):
        value = clap_score(one, other).value
        assert value == pytest.approx(expected, abs=1e-15)
        assert value is not None
        assert -1 <= value <= 1
    assert clap_score(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == Score(0.0, "ok")


def test_threads_and_order_of_arguments_change_no_bit() -> None:
    expected = clap_score(embedding(0), embedding(1))
    assert clap_score(embedding(1), embedding(0)) == expected
    for limit in (1, 3):
        with threadpool_limits(limit):
            assert clap_score(embedding(0), embedding(1)) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_has_no_direction(bad: float) -> None:
    good, broken = embedding(0), embedding(1)
    broken[9] = bad
    undefined = Score(None, "nonfinite")
    assert clap_score(good, broken) == clap_score(broken, good) == undefined
    assert clap_score(good, np.zeros_like(good)) == clap_score(np.zeros_like(good), good) == undefined


def test_refuses_what_is_no_pair() -> None:
    with pytest.raises(ValueError, match=r"the shapes \[512\] \(prompt\) and \[511\] \(clip\); expected \[d\]"):
        clap_score(embedding(0), embedding(1)[1:])
    with pytest.raises(ValueError, match=r"the shapes \[1, 512\]"):
        clap_score(embedding(0)[None], embedding(1)[None])
    with pytest.raises(ValueError, match=r"the shapes \[0\]"):
        clap_score(np.zeros(0), np.zeros(0))
    with pytest.raises(TypeError, match="the clip's embedding is int64: give floating numbers"):
        clap_score(np.ones(3), np.arange(3))  # type: ignore[arg-type]
