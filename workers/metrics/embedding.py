"""What a model, or fixed statistics, make of one clip."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.metrics.outcome import Status


@dataclass(frozen=True, eq=False, slots=True)
class Embedding:
    """A clip as a vector, or why it has none."""

    values: NDArray[np.float32] | None
    """[d], finite; None where it is undefined."""

    status: Status
    """Why there are no values; `ok` if and only if there are some."""

    def __post_init__(self) -> None:
        if (self.values is None) == (self.status == "ok"):
            there = "no values" if self.values is None else "values"
            raise ValueError(f"{there} with status {self.status!r}: there are values exactly where it is ok")
