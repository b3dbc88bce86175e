"""How far apart a classifier hears two clips."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.class_probabilities import Activation, class_probabilities
from workers.metrics.outcome import Score

EPSILON: Final = 1e-6
"""Added to the probabilities inside one logarithm, those of the distribution that the other is held against."""


def kl_ref_gen(
    reference: NDArray[np.floating[Any]], generated: NDArray[np.floating[Any]], *, activation: Activation = "softmax"
) -> Score:
    """Kullback-Leibler divergence KL(reference ‖ generated) of class probabilities, nats.

    Σ over classes of p·(ln p - ln(q + 1e-6)) with p of the reference, q of the generated clip, and 0·ln 0 = 0: the
    direction and the smoothing of audioldm_eval (https://github.com/haoheliu/audioldm_eval, `calculate_kl`), for one
    pair; the mean over pairs is its figure, `softmax` the one usually reported. It punishes classes that the generated
    clip lacks. Because of the smoothing it is not exactly 0 for equal clips but above -1e-6 per class. With `sigmoid`,
    the terms of present classes alone are summed, as there: no divergence in the strict sense, it can be negative.

    Undefined (`nonfinite`) where an output of the classifier is NaN or infinite.

    Args:
        reference: floating [K], a classifier's outputs for the reference.
        generated: floating [K], for the generated clip.
        activation: How outputs become probabilities.

    Raises:
        TypeError: The outputs are not floating.
        ValueError: Shapes differ or are not [K], or with `none` a value is outside [0, 1].
    """
    return _divergence(reference, generated, reference, generated, activation)


def kl_gen_ref(
    reference: NDArray[np.floating[Any]], generated: NDArray[np.floating[Any]], *, activation: Activation = "softmax"
) -> Score:
    """Kullback-Leibler divergence KL(generated ‖ reference) of class probabilities, nats.

    As `kl_ref_gen` with p of the generated clip and q of the reference: it punishes classes that the reference lacks.
    """
    return _divergence(generated, reference, reference, generated, activation)


def _divergence(
    of: NDArray[np.floating[Any]],
    against: NDArray[np.floating[Any]],
    reference: NDArray[np.floating[Any]],
    generated: NDArray[np.floating[Any]],
    activation: Activation,
) -> Score:
    if reference.ndim != 1 or reference.shape != generated.shape:
        raise ValueError(
            f"the outputs have the shapes {list(reference.shape)} (reference) and {list(generated.shape)} (generated); "
            "expected [K] of one classifier"
        )
    if not (np.isfinite(of).all() and np.isfinite(against).all()):
        return Score.undefined("nonfinite")
    first, second = class_probabilities(of, activation), class_probabilities(against, activation)
    present = first > 0.0
    first, second = first[present], second[present]
    return Score.of(math.fsum(first * (np.log(first) - np.log(second + EPSILON))))
