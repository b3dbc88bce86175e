"""How well a clip fits its prompt."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.metrics.outcome import Score


def clap_score(prompt: NDArray[np.floating[Any]], clip: NDArray[np.floating[Any]]) -> Score:
    """Cosine between the embeddings of a prompt and of a clip in one space, in [-1, 1].

    Wu et al., https://doi.org/10.1109/ICASSP49357.2023.10095969, and Elizalde et al.,
    https://doi.org/10.1109/ICASSP49357.2023.10095889, train such spaces; scores of two models do not compare. In
    float64, and the same to the bit for any number of threads.

    Undefined (`nonfinite`) where a value is NaN or infinite, and where an embedding is zero: it has no direction, and
    a model that normalises would have made it NaN.

    Args:
        prompt: floating [d], of any length but zero.
        clip: floating [d].

    Raises:
        TypeError: An embedding is not floating.
        ValueError: Shapes differ or are not [d].
    """
    if prompt.ndim != 1 or prompt.shape != clip.shape or len(prompt) == 0:
        raise ValueError(
            f"the embeddings have the shapes {list(prompt.shape)} (prompt) and {list(clip.shape)} (clip); expected [d] "
            "of one model"
        )
    first, second = _direction(prompt, "prompt"), _direction(clip, "clip")
    if first is None or second is None:
        return Score.undefined("nonfinite")
    return Score.of(max(-1.0, min(1.0, math.fsum(first * second))))


def _direction(embedding: NDArray[np.floating[Any]], name: str) -> NDArray[np.float64] | None:
    """[d], of length 1; None where there is none."""
    if not np.issubdtype(embedding.dtype, np.floating):
        raise TypeError(f"the {name}'s embedding is {embedding.dtype}: give floating numbers")
    values = embedding.astype(np.float64)
    largest = float(np.abs(values).max())
    if not 0.0 < largest < math.inf:
        return None
    values /= largest  # keeps the squares in float64's range
    return np.asarray(values / math.sqrt(math.fsum(np.square(values))))
