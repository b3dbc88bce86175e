"""Clips of any length through a model that hears windows of one.

    clip      |======================================|              longer: windows spread evenly from end to end
    windows   |--------------|
                          |--------------|
                                      |--------------|    features, vectors, and one vector of all of them

Features are computed clip by clip, and the model sees microbatches of one size: no clip's vector depends on another's.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.audio.resample import resample, resample_window, resampled_length
from workers.device import repeatable_inference
from workers.metrics.embedding import Embedding
from workers.metrics.one_thread import one_thread
from workers.microbatch import Computed, in_microbatches
from workers.models.listener import Heard
from workers.models.pieces import Pieces
from workers.transfer import to_device

RESAMPLE_QUALITY = "HQ"


class ClipModel(Protocol):
    """A model that gives vectors of windows."""

    sample_rate: int
    """Hz."""
    window_samples: int
    """Most that it hears at once."""
    min_samples: int
    """Fewest that it can hear."""

    def features(self, window: NDArray[np.float32]) -> Tensor:
        """What the model takes of a window [T], of one shape for all."""
        ...

    def vectors(self, features: Tensor) -> Tensor:
        """Features [B, ...] to vectors, float32 [B, d]."""
        ...

    def joined(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The vector of a clip [d] of those of its windows [W, d]."""
        ...


class ClipListener:
    """Hears clips, each by itself; see `Listener`.

    Args:
        model: On the device.
        sample_rate: Of the clips, Hz; they are resampled to the model's.
        device: Of the model.
        microbatch: Windows that the model sees at once.
    """

    def __init__(self, model: ClipModel, *, sample_rate: int, device: torch.device, microbatch: int) -> None:
        self._model, self._rate, self._device, self._microbatch = model, sample_rate, device, microbatch
        self._pieces = Pieces(1)

    def __call__(self, clips: Sequence[NDArray[np.float32]]) -> Heard:
        """Hear clips [T].

        Raises:
            NoMemoryError: Not even one window fits into the device's memory.
        """
        features: list[Tensor] = []
        places: list[slice | None] = []
        found = [Embedding(None, "nonfinite")] * len(clips)
        with one_thread():
            for at, clip in enumerate(clips):
                places.append(None)
                if not np.isfinite(clip).all():
                    continue
                heard = _resampled(clip, self._rate, self._model.sample_rate)
                if len(heard) < self._model.min_samples:
                    found[at] = Embedding(None, "too_short")
                    continue
                own = [self._model.features(window) for window in windows(heard, self._model.window_samples)]
                places[at] = slice(len(features), len(features) + len(own))
                features += own
        sizes: list[int | None] = [None] * len(clips)
        if features:
            computed = in_rows(
                self._model.vectors,
                torch.stack(features),
                device=self._device,
                microbatch=self._microbatch,
                pieces=self._pieces,
            )
            vectors = computed.values[0].numpy().astype(np.float64)
            for at, place in enumerate(places):
                if place is not None:
                    found[at] = _finite(self._model.joined(vectors[place]))
                    sizes[at] = int(computed.sizes[place].min())
        return Heard(tuple(found), tuple(sizes))


def windows(clip: NDArray[np.float32], length: int) -> Iterator[NDArray[np.float32]]:
    """A clip as it is, or as few windows of `length` samples as reach from its beginning to its end, spread evenly."""
    spare = len(clip) - length
    count = max(1, -(-len(clip) // length))
    for number in range(count):
        start = spare * number // (count - 1) if count > 1 else 0
        yield clip[start : start + length]


def in_rows(
    compute: Callable[[Tensor], Tensor], rows: Tensor, *, device: torch.device, microbatch: int, pieces: Pieces
) -> Computed:
    """Compute rows [n, ...] → [1, n, d] so that none depends on its neighbours.

    On a GPU that takes microbatches filled up to one size. On a CPU each row is computed by itself, so that nothing
    needs to be filled up, which would cost as much as a row.
    """
    on_cpu = device.type == "cpu"
    size = len(rows) if on_cpu else microbatch

    def at_once(piece: Tensor) -> Tensor:
        if on_cpu:
            return pieces.map(compute, piece)[None]
        return compute(to_device(piece, device))[None]

    with repeatable_inference():
        computed = in_microbatches(at_once, rows, size=size)
    sizes = computed.sizes.clamp(max=microbatch)
    sizes[computed.sizes == size] = microbatch
    return Computed(computed.values, sizes)


def _resampled(clip: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    if rate == wanted or len(clip) == 0:
        return np.array(clip)
    window = resample_window(0, resampled_length(len(clip), rate, wanted), rate_in=rate, rate_out=wanted)
    padded = np.zeros((window.stop, 1), np.float32)
    padded[: len(clip), 0] = clip[: window.stop]
    return resample(padded, window, rate_in=rate, rate_out=wanted, quality=RESAMPLE_QUALITY)[:, 0]


def _finite(vector: NDArray[np.float64]) -> Embedding:
    values = vector.astype(np.float32)
    return Embedding(values, "ok") if np.isfinite(values).all() else Embedding(None, "nonfinite")
