"""Whether clips are clear each by itself and different among themselves."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.class_probabilities import class_probabilities
from workers.metrics.row_hash import shuffled

SUM_TOLERANCE: Final = 1e-3
"""By how much the probabilities of a row may miss a sum of 1; those of float32 do by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InceptionScore:
    """From 1, for clips that are all heard alike, to the number of classes."""

    mean: float
    """Over the splits."""

    standard_deviation: float
    """Of the splits, divided by their number; it grows as splits get smaller, and is no error of the mean."""

    per_split: tuple[float, ...]
    """The score of each split; a smaller split gives a smaller score."""

    num_rows: int
    """n."""


def inception_score(
    probabilities: NDArray[np.floating[Any]], keys: NDArray[np.uint64], *, num_splits: int = 10, seed: int = 0
) -> InceptionScore:
    """Inception score, exp(mean over rows of KL(row ‖ mean of the rows)), for each of several random splits.

    Salimans et al., https://doi.org/10.48550/arXiv.1606.03498; no smoothing, 0·ln 0 = 0. Rows are shuffled by a hash of
    key and seed and cut into splits whose sizes differ by one at most, so the same rows give the same bits in any order
    and for any number of threads.

    Args:
        probabilities: floating [n, K], a softmax over classes in each row.
        keys: [n], a hash of each row's name, no two alike.
        num_splits: How many splits, at most n.
        seed: Of the splits.

    Raises:
        TypeError: A dtype is wrong.
        ValueError: Shapes do not belong together, rows are no probabilities over classes, keys are alike, or there are
            fewer rows than splits.
    """
    if probabilities.ndim != 2:
        raise ValueError(f"the probabilities have the shape {list(probabilities.shape)}; expected [n, K]")
    num_rows = len(probabilities)
    if not 1 <= num_splits <= num_rows:
        raise ValueError(f"{num_rows} rows cannot be cut into {num_splits} splits: set num_splits to 1 to {num_rows}")
    rows = class_probabilities(probabilities, "none")[shuffled(keys, seed, num_rows)]
    worst = float(np.abs(rows.sum(axis=1) - 1.0).max())
    if worst > SUM_TOLERANCE:
        raise ValueError(
            f"the probabilities of a row miss a sum of 1 by {worst:g}, more than {SUM_TOLERANCE:g}: give a softmax, "
            "not sigmoids"
        )
    bounds = [split * num_rows // num_splits for split in range(num_splits + 1)]
    scores = tuple(_score(rows[begin:end]) for begin, end in pairwise(bounds))
    mean = math.fsum(scores) / num_splits
    variance = math.fsum((score - mean) ** 2 for score in scores) / num_splits
    return InceptionScore(mean=mean, standard_deviation=math.sqrt(variance), per_split=scores, num_rows=num_rows)


def _score(rows: NDArray[np.float64]) -> float:
    """Of one split [n, K]."""
    marginal = rows.mean(axis=0)
    ratio = np.divide(rows, marginal, out=np.ones_like(rows), where=rows > 0.0)
    return math.exp(math.fsum((rows * np.log(ratio)).sum(axis=1)) / len(rows))
