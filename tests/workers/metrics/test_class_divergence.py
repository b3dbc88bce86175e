"""The reference is torch's kl_div, called as audioldm_eval calls it."""

import math

import numpy as np
import pytest
import scipy.special
import torch
from numpy.typing import NDArray

from workers.metrics.class_divergence import EPSILON, kl_gen_ref, kl_ref_gen
from workers.metrics.class_probabilities import Activation
from workers.metrics.outcome import Score

CLASSES = 527


def logits(seed: int, spread: float = 3.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(-2, spread, CLASSES).astype(np.float32)


def oracle(of: NDArray[np.floating], against: NDArray[np.floating], activation: Activation) -> float:
    """KL(of ‖ against)."""
    first, second = torch.from_numpy(of).double(), torch.from_numpy(against).double()
    if activation != "none":
        first, second = getattr(first, activation)(-1), getattr(second, activation)(-1)
    return torch.nn.functional.kl_div((second + 1e-6).log(), first, reduction="sum").item()


def test_both_directions_equal_torch_for_softmax() -> None:
    for seed in range(10):
        reference, generated = logits(2 * seed), logits(2 * seed + 1, 6.0)
        expected = oracle(reference, generated, "softmax")
        assert kl_ref_gen(reference, generated).value == pytest.approx(expected, rel=1e-12)
        expected = oracle(generated, reference, "softmax")
        assert kl_gen_ref(reference, generated).value == pytest.approx(expected, rel=1e-12)


def test_equals_torch_for_sigmoid() -> None:
    reference, generated = logits(0), logits(1)
    of, against = torch.from_numpy(reference).double().sigmoid(), torch.from_numpy(generated).double().sigmoid()
    expected = torch.nn.functional.kl_div((against + 1e-6).log(), of, reduction="sum").item()
    assert kl_ref_gen(reference, generated, activation="sigmoid").value == pytest.approx(expected, rel=1e-12)


def test_probabilities_may_be_given_and_may_be_zero() -> None:
    reference, generated = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.5, 0.5])
    assert kl_ref_gen(reference, generated, activation="none").value == pytest.approx(-math.log(1e-6), rel=1e-12)
    expected = oracle(generated, reference, "none")
    assert kl_gen_ref(reference, generated, activation="none").value == pytest.approx(expected, rel=1e-12)


def test_smoothing_hardly_changes_the_divergence_of_scipy() -> None:
    reference, generated = logits(3, 1.0), logits(4, 1.0)
    first, second = (scipy.special.softmax(row.astype(float)) for row in (reference, generated))
    expected = float(scipy.special.rel_entr(first, second).sum())
    assert kl_ref_gen(reference, generated).value == pytest.approx(expected, abs=2e-3)


def test_equal_clips_are_at_almost_nothing() -> None:
    value = kl_ref_gen(logits(0), logits(0)).value
    assert value is not None
    assert -CLASSES * EPSILON <= value <= 0
    assert kl_gen_ref(logits(0), logits(0)).value == value


def test_the_directions_differ_by_what_they_punish() -> None:
    broad, narrow = np.full(4, 0.25), np.array([1.0, 0.0, 0.0, 0.0])
    # A generated clip that lacks classes of the reference, and one that has more than the reference.
    assert kl_ref_gen(broad, narrow, activation="none").value == pytest.approx(
        math.log(0.25) - 0.75 * math.log(1e-6) - 0.25 * math.log(1 + 1e-6), rel=1e-12
    )
    assert kl_gen_ref(broad, narrow, activation="none").value == pytest.approx(math.log(4), abs=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite(bad: float) -> None:
    broken = logits(0)
    broken[5] = bad
    for metric in (kl_ref_gen, kl_gen_ref):
        assert metric(broken, logits(1)) == metric(logits(1), broken) == Score(None, "nonfinite")


def test_refuses_what_is_no_pair() -> None:
    with pytest.raises(ValueError, match=r"the shapes \[527\] \(reference\) and \[526\] \(generated\); expected \[K\]"):
        kl_ref_gen(logits(0), logits(1)[1:])
    with pytest.raises(ValueError, match=r"the shapes \[1, 527\]"):
        kl_gen_ref(logits(0)[None], logits(1)[None])
    with pytest.raises(ValueError, match="name the activation of logits"):
        kl_gen_ref(logits(0), logits(1), activation="none")
