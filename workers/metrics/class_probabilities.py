"""What a classifier says of clips, as probabilities."""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Activation: TypeAlias = Literal["softmax", "sigmoid", "none"]
"""
| activation | the classifier's outputs become probabilities |
| --- | --- |
| `softmax` | of one class among all: they sum to 1 |
| `sigmoid` | of each class by itself |
| `none` | as they are: they are probabilities already |
"""


def class_probabilities(outputs: NDArray[np.floating[Any]], activation: Activation) -> NDArray[np.float64]:
    """Makes probabilities of a classifier's outputs, each row bit for bit as if computed alone.

    Args:
        outputs: floating [K] or [n, K], finite: logits, or with `none` probabilities.
        activation: What to apply.

    Returns:
        Of the same shape, in [0, 1].

    Raises:
        TypeError: The outputs are not floating.
        ValueError: The shape is wrong, a value is not finite, or with `none` outside [0, 1].
    """
    if not np.issubdtype(outputs.dtype, np.floating):
        raise TypeError(f"the classifier's outputs are {outputs.dtype}: give floating numbers")
    if outputs.ndim not in (1, 2) or outputs.shape[-1] == 0:
        raise ValueError(
            f"the classifier's outputs have the shape {list(outputs.shape)}; expected [K] or [n, K], K at least 1"
        )
    values = np.ascontiguousarray(outputs, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("the classifier's outputs are not all finite: leave such clips out, and count them")
    if activation == "softmax":
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    if activation == "sigmoid":
        powers = np.exp(-np.abs(values))  # at most 1: nothing overflows
        return np.where(values >= 0, 1.0, powers) / (1.0 + powers)
    if values.size and not 0.0 <= values.min() <= values.max() <= 1.0:
        raise ValueError(
            f"probabilities from {values.min():g} to {values.max():g} leave [0, 1]: name the activation of logits"
        )
    return values
