"""Both sides of pairs, each by itself, as vectors: columns of embeddings, of class probabilities, and what follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.evaluate_worker_spec import SIDES, EvaluateWorkerSpec
from workers.metrics.metric_names import STATUSES
from workers.metrics.one_thread import one_thread
from workers.models.listener import Listener
from workers.models.load_listener import load_listener

ABSENT: Final[Mapping[int, tuple[str, str]]] = {-1: ("no_reference", "no_candidate"), -2: ("rate_mismatch",) * 2}
"""What a number of samples below zero says of either side."""

_PLACES = {status: place for place, status in enumerate(STATUSES)}


@dataclass(frozen=True, slots=True)
class SideVectors:
    """What was heard on one side of some units."""

    values: NDArray[np.float32]
    """[n, d], NaN where there is none."""

    statuses: tuple[str, ...]
    """Of STATUSES."""

    def columns(self, name: str) -> dict[str, Tensor]:
        """As the worker gives them."""
        places = torch.tensor([_PLACES[status] for status in self.statuses], dtype=torch.int8)
        return {name: torch.from_numpy(self.values), f"{name}_status": places}


class SideListener:
    """Hears clips whether or not they have a counterpart, and whatever its length.

    Args:
        spec: Which models, and for which metrics.

    Raises:
        ValueError: A model cannot be loaded.
    """

    def __init__(self, spec: EvaluateWorkerSpec) -> None:
        self._spec = spec
        self._embedding: Listener | None = None
        if spec.embedding is not None:
            self._embedding = load_listener(spec.embedding, sample_rate=spec.sample_rate)

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Hear any number of units.

        Args:
            batch: As `EvaluateWorker` takes it, with `side_samples` int64 [n, 2], the true lengths of both clips, or a
                place in ABSENT.

        Returns:
            The columns of `spec.outputs` that are not those of a pair metric.
        """
        columns: dict[str, Tensor] = {}
        with one_thread():
            if self._embedding is not None and self._spec.embedding is not None:
                for side, name in enumerate(SIDES):
                    heard = _heard(self._embedding, batch, side, self._spec.embedding.dimension)
                    columns |= heard.columns(f"{name}_embedding")
        return columns


def _heard(listener: Listener, batch: Mapping[str, Tensor], side: int, dimension: int) -> SideVectors:
    lengths: Sequence[int] = batch["side_samples"][:, side].tolist()
    there = [row for row, length in enumerate(lengths) if length >= 0]
    statuses = [ABSENT.get(length, ("ok", "ok"))[side] for length in lengths]
    values = np.full((len(lengths), dimension), nan, np.float32)
    clips = [batch["waveform"][row, side, : lengths[row]].numpy() for row in there]
    for row, vector in zip(there, listener(clips).vectors, strict=True):
        statuses[row] = vector.status
        if vector.values is not None:
            values[row] = vector.values
    return SideVectors(values, tuple(statuses))
