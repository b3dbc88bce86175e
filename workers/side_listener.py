"""Clips by themselves: columns of embeddings, of class probabilities, and of metrics that follow from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.device import resolve_device
from workers.evaluate_worker_spec import SIDES, EvaluateWorkerSpec
from workers.metrics.class_divergence import kl_gen_ref, kl_ref_gen
from workers.metrics.metric_names import STATUSES, HeardMetric
from workers.metrics.outcome import Score
from workers.models.listener import Listener
from workers.models.load_listener import load_classifier, load_embedding
from workers.prompt_listener import PromptListener

ABSENT: Final[Mapping[int, tuple[str, str]]] = {-1: ("no_reference", "no_candidate"), -2: ("rate_mismatch",) * 2}
"""What a number of samples below zero says of either side."""

DIVERGENCES: Final[Mapping[HeardMetric, Callable[..., Score]]] = {"kl_ref_gen": kl_ref_gen, "kl_gen_ref": kl_gen_ref}

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
        return {name: torch.from_numpy(self.values), f"{name}_status": _places(self.statuses)}


class SideListener:
    """Hears clips whether or not they have a counterpart, and whatever its length.

    Args:
        spec: Which models, and for which metrics.

    Raises:
        ValueError: A model cannot be loaded, or a GPU is asked for that is not there.
    """

    def __init__(self, spec: EvaluateWorkerSpec) -> None:
        self._spec = spec
        rate, device, size = spec.sample_rate, resolve_device(spec.device), spec.microbatch
        self._embedding = self._classifier = self._prompts = None
        if spec.embedding is not None:
            embedding = load_embedding(spec.embedding, sample_rate=rate, device=device, microbatch=size)
            self._embedding = embedding, spec.embedding.dimension
        if spec.classifier is not None:
            classifier = load_classifier(spec.classifier, sample_rate=rate, device=device, microbatch=size)
            self._classifier = classifier, spec.classifier.num_classes
        if spec.clap is not None:
            prompts = PromptListener(spec.clap, sample_rate=rate, device=device, microbatch=size)
            self._prompts = prompts, spec.clap.dimension

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Hear any number of units.

        Args:
            batch: As `EvaluateWorker` takes it, with `side_samples` int64 [n, 2], the true lengths of both clips, or a
                place in ABSENT; for `clap` also `text`, n texts.

        Returns:
            The columns of `spec.outputs` that are not those of a pair metric; and `microbatch` int32 [n] where a model
            computed any.

        Raises:
            NoMemoryError: Not even one window fits into the device's memory.
        """
        if self._embedding is None and self._classifier is None and self._prompts is None:
            return {}
        hearing = _Hearing(batch)
        columns: dict[str, Tensor] = {}
        if self._embedding is not None:
            for side, name in enumerate(SIDES):
                heard = hearing.side(*self._embedding, side)
                columns |= heard.columns(f"{name}_embedding")
        if self._classifier is not None:
            sides = [hearing.side(*self._classifier, side) for side in (0, 1)]
            for name, heard in zip(SIDES, sides, strict=True):
                columns |= heard.columns(f"{name}_class_log_probabilities")
            for metric, divergence in DIVERGENCES.items():
                if metric in self._spec.metrics:
                    columns |= _scores(metric, [_divergence(divergence, sides, row) for row in range(hearing.rows)])
        if self._prompts is not None:
            prompts, dimension = self._prompts
            heard = hearing.side(prompts.clips, dimension, 1)
            clips = zip(heard.values, heard.statuses, strict=True)
            orphans = [length == -1 for length in batch["side_samples"][:, 0].tolist()]
            columns |= _scores("clap", prompts(list(clips), batch["text"], orphans))
        if any(size is not None for size in hearing.sizes):
            sizes = [self._spec.microbatch if size is None else size for size in hearing.sizes]
            columns["microbatch"] = torch.tensor(sizes, dtype=torch.int32)
        return columns


class _Hearing:
    """One batch, and how many rows were computed at once for each unit of it."""

    def __init__(self, batch: Mapping[str, Tensor]) -> None:
        self._waveform, self._lengths = batch["waveform"], batch["side_samples"]
        self.rows = len(self._waveform)
        self.sizes: list[int | None] = [None] * self.rows

    def side(self, listener: Listener, dimension: int, side: int) -> SideVectors:
        """What one side's clips are to a listener that gives vectors of `dimension`."""
        lengths: Sequence[int] = self._lengths[:, side].tolist()
        there = [row for row, length in enumerate(lengths) if length >= 0]
        statuses = [ABSENT.get(length, ("ok", "ok"))[side] for length in lengths]
        values = np.full((len(lengths), dimension), nan, np.float32)
        heard = listener([self._waveform[row, side, : lengths[row]].numpy() for row in there])
        for row, vector, size in zip(there, heard.vectors, heard.sizes, strict=True):
            statuses[row] = vector.status
            if vector.values is not None:
                values[row] = vector.values
            if size is not None:
                self.sizes[row] = min(size, self.sizes[row] or size)
        return SideVectors(values, tuple(statuses))


def _divergence(function: Callable[..., Score], sides: Sequence[SideVectors], row: int) -> tuple[float, str]:
    for side in sides:
        if side.statuses[row] != "ok":
            return nan, side.statuses[row]
    score = function(sides[0].values[row], sides[1].values[row], activation="softmax")
    return nan if score.value is None else score.value, score.status


def _scores(metric: HeardMetric, scores: Sequence[tuple[float, str]]) -> dict[str, Tensor]:
    values = torch.tensor([value for value, _ in scores], dtype=torch.float64)
    return {metric: values, f"{metric}_status": _places([status for _, status in scores])}


def _places(statuses: Sequence[str]) -> Tensor:
    return torch.tensor([_PLACES[status] for status in statuses], dtype=torch.int8)
