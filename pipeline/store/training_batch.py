"""What of a store a training loop sees: some columns, latents drawn from the moments, and the scale of both."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.store.cursor import Batch
from pipeline.store.draw import MOMENTS, draw_latents
from pipeline.store.reader import LatentStore
from pipeline.store.schema import SEED

LATENT = "latent"

_SCALED = (LATENT, "latent_mean", "latent_sample")
_LOG_VARIANCE = "latent_logvar"


class TrainingColumns:
    """Reads batches of a store in the columns of a training loop."""

    def __init__(
        self, store: LatentStore, columns: Sequence[str] | None, *, draw_seed: int | None, scale: bool
    ) -> None:
        """Choose the columns.

        Args:
            store: The store.
            columns: Names of stored columns; all but the digest if none, and but the moments if latents are drawn.
            draw_seed: Add a column `latent`, drawn with this seed.
            scale: Multiply latents by the factor that the store's statistics suggest.

        Raises:
            ValueError: The store suggests no factor.
        """
        drawn = draw_seed is not None
        if columns is None:
            columns = [name for name in store.columns if not (drawn and name in MOMENTS)]
        self._store, self._names, self._draw_seed = store, list(columns), draw_seed
        self._hidden = [name for name in (SEED, *MOMENTS) if drawn and name not in columns]
        self._factor = _scale_factor(store) if scale else None

    def read(self, positions: Sequence[int] | NDArray[np.int64], epoch: int) -> Batch:
        """The units at some positions; those drawn are of `epoch`."""
        batch = self._store.read(positions, [*self._names, *self._hidden])
        if self._draw_seed is not None:
            seeds, means, logvars = (batch[name] for name in (SEED, *MOMENTS))
            batch[LATENT] = draw_latents(seeds, means, logvars, seed=self._draw_seed, epoch=epoch)
        for name in self._hidden:
            del batch[name]
        return batch if self._factor is None else scale_latents(batch, self._factor)


def scale_latents(batch: Batch, factor: float) -> Batch:
    """`batch` with its latents multiplied by `factor`, as float32.

    Log-variances become those of the scaled latents: 2·ln(factor) is added to them.
    """
    scaled = dict(batch)
    for name, column in batch.items():
        if name in _SCALED:
            scaled[name] = _each(column, lambda values: np.multiply(values, factor, dtype=np.float32))
        elif name == _LOG_VARIANCE:
            scaled[name] = _each(column, lambda values: np.add(values, 2 * math.log(factor), dtype=np.float32))
    return scaled


def _each(column: Any, change: Callable[[NDArray[Any]], NDArray[np.float32]]) -> Any:
    return [change(values) for values in column] if isinstance(column, list) else change(column)


def _scale_factor(store: LatentStore) -> float:
    factor = store.statistics.scale_factor
    if factor is None:
        raise ValueError(
            f"{store.path} suggests no scale factor: it holds no latents, or all are equal. Leave out scale=True"
        )
    return factor
