"""The references are torch's softmax and sigmoid."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from workers.metrics.class_probabilities import Activation, class_probabilities

LOGITS = np.random.default_rng(0).normal(0, 5, (40, 527)).astype(np.float32)


def test_equal_torch() -> None:
    given = torch.from_numpy(LOGITS).double()
    np.testing.assert_allclose(class_probabilities(LOGITS, "softmax"), given.softmax(dim=1), rtol=1e-13, atol=0)
    np.testing.assert_allclose(class_probabilities(LOGITS, "sigmoid"), given.sigmoid(), rtol=1e-13, atol=0)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_row_has_the_same_bits_in_any_company(activation: Activation) -> None:
    together = class_probabilities(LOGITS, activation)
    for row in (0, 17, 39):
        np.testing.assert_array_equal(class_probabilities(LOGITS[row], activation), together[row])
    np.testing.assert_array_equal(class_probabilities(np.asfortranarray(LOGITS), activation), together)
    for limit in (1, 3):
        with threadpool_limits(limit):
            np.testing.assert_array_equal(class_probabilities(LOGITS, activation), together)


def test_large_logits_do_not_overflow() -> None:
    given = np.array([1e300, -1e300, 1e300])
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(class_probabilities(given, "softmax"), [0.5, 0.0, 0.5])
        np.testing.assert_array_equal(class_probabilities(given, "sigmoid"), [1.0, 0.0, 1.0])


def test_probabilities_stay_as_they_are() -> None:
    given = np.array([0.0, 0.25, 1.0], np.float32)
    found = class_probabilities(given, "none")
    np.testing.assert_array_equal(found, given)
    assert found.dtype == np.float64


def test_refuses_what_are_no_outputs() -> None:
    with pytest.raises(TypeError, match="the classifier's outputs are int64: give floating numbers"):
        class_probabilities(np.arange(3), "softmax")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"have the shape \[1, 2, 3\]; expected \[K\] or \[n, K\]"):
        class_probabilities(np.zeros((1, 2, 3)), "softmax")
    with pytest.raises(ValueError, match=r"have the shape \[4, 0\]"):
        class_probabilities(np.zeros((4, 0)), "softmax")
    with pytest.raises(ValueError, match="outputs are not all finite: leave such clips out"):
        class_probabilities(np.array([0.0, np.nan]), "softmax")
    for bad in (-0.5, 1.5):
        with pytest.raises(ValueError, match=r"leave \[0, 1\]: name the activation of logits"):
            class_probabilities(np.array([bad, 0.5]), "none")
