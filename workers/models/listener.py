"""What turns clips into vectors, by a model or by fixed statistics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.metrics.embedding import Embedding


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of some clips."""

    vectors: tuple[Embedding, ...]
    """Of each clip, of the listener's dimension."""

    sizes: tuple[int | None, ...]
    """Rows that a model computed at once for each clip, the fewest; None where it computed none."""


class Listener(Protocol):
    """Hears each clip by itself: what comes of it depends on no other."""

    def __call__(self, clips: Sequence[NDArray[np.float32]]) -> Heard:
        """Hear clips [T] of one sample rate, any number of them."""
        ...
