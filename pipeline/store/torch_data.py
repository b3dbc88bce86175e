"""A store in a torch training loop: a map-style dataset, and a loader of whole batches that resumes exactly.

```
loader = LatentLoader(store, batch_size=64, columns=["caption"], draw=True, scale=True, seed=7, num_workers=2)
for batch in loader:            # dict by column: Tensor [batch, ...], or a list where values are no numbers
    checkpoint = loader.state_dict()
```

The order of batches does not depend on the number of loader workers: worker `w` of `W` makes batches w, w + W, …, and
torch hands them out in turn. Progress is counted where batches are handed out, so a checkpoint taken mid-epoch says
exactly what the training loop has seen, not what workers have read ahead.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from pipeline.store.cursor import Batch
from pipeline.store.manifest import Manifest
from pipeline.store.reader import LatentStore
from pipeline.store.shuffle import Uneven, epoch_order, rank_order
from pipeline.store.training_batch import TrainingColumns

_PROGRESS = ("epoch", "next_batch")
_MAY_BE_UNKNOWN = ("identity", "content_digest")


class LoaderState(TypedDict):
    """Where a `LatentLoader` stands, and what that position means only together with."""

    epoch: int
    next_batch: int
    identity: str | None
    """Of the job that made the store; none where the store has no manifest."""
    content_digest: str | None
    """Of the store's rows; none where its job is not complete."""
    num_units: int
    batch_size: int
    world_size: int
    uneven: Uneven
    drop_last: bool
    shuffle: bool
    seed: int
    draw: bool
    scale: bool


class LatentDataset(Dataset[dict[str, Any]]):
    """Map-style: `dataset[i]` is the unit at position `i`, for samplers and loaders of one's own."""

    def __init__(
        self,
        store: LatentStore,
        columns: Sequence[str] | None = None,
        *,
        draw_seed: int | None = None,
        scale: bool = False,
    ) -> None:
        """Read `store`.

        Args:
            store: The store.
            columns: Names of the columns; all but the digest if none, and but the moments if latents are drawn.
            draw_seed: Add a column `latent`, drawn from the moments by `LatentStore.sample` with this seed and the
                epoch of `set_epoch`.
            scale: Give latents the scale that `LatentBatches` describes.

        Raises:
            ValueError: `scale` is asked of a store that suggests no factor.
        """
        self._store, self._columns = store, TrainingColumns(store, columns, draw_seed=draw_seed, scale=scale)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw latents of this epoch from now on; call it before the loader's workers start."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Number of units."""
        return len(self._store)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """One unit, by column.

        Raises:
            IndexError: There is no such position.
        """
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: list[int]) -> list[dict[str, Any]]:
        """Several units; torch's `DataLoader` asks for a batch at once."""
        batch = _as_torch_batch(self._columns.read(positions, self._epoch))
        return [{name: column[row] for name, column in batch.items()} for row in range(len(positions))]


class LatentBatches(IterableDataset[Batch]):
    """Iterable: whole batches of one rank's share of an epoch, from a given batch on."""

    def __init__(
        self,
        store: LatentStore,
        batch_size: int,
        columns: Sequence[str] | None = None,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        uneven: Uneven = "drop",
        drop_last: bool = False,
        draw: bool = False,
        scale: bool = False,
        epoch: int = 0,
        first_batch: int = 0,
    ) -> None:
        """Batches for one rank.

        Args:
            store: The store.
            batch_size: Units per batch and rank.
            columns: Names of the columns; all but the digest if none, and but the moments if latents are drawn.
            shuffle: Another order each epoch; else by id.
            seed: Of the shuffling and the drawing.
            rank: This process, from 0.
            world_size: Number of processes that train together.
            uneven: `drop` or `pad` units so that each rank has equally many (`pipeline.store.shuffle.Uneven`).
            drop_last: Leave out a last batch that is short.
            draw: Add a column `latent`, drawn from the moments anew in each epoch.
            scale: Multiply latents, drawn or stored, by the factor that the store's statistics suggest, so that they
                have about unit variance; log-variances become those of the scaled latents. All are float32 then.
            epoch: Which epoch to read.
            first_batch: Where in it to begin.

        Raises:
            ValueError: A number is out of range, or `scale` is asked of a store that suggests no factor.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank} with world_size {world_size}; it must be from 0 to {world_size - 1}")
        if uneven not in ("drop", "pad"):
            raise ValueError(f"uneven is {uneven!r}; it must be 'drop' or 'pad'")
        self.store, self.batch_size = store, batch_size
        self.columns = TrainingColumns(store, columns, draw_seed=seed if draw else None, scale=scale)
        self.shuffle, self.seed, self.draw, self.scale = shuffle, seed, draw, scale
        self.rank, self.world_size, self.uneven, self.drop_last = rank, world_size, uneven, drop_last
        self.epoch, self.first_batch = epoch, first_batch

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        num_units, ranks = len(self.store), self.world_size
        share = num_units // ranks if self.uneven == "drop" else -(-num_units // ranks)
        return share // self.batch_size if self.drop_last else -(-share // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """This worker's batches from `first_batch` on."""
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        order = epoch_order(len(self.store), shuffle=self.shuffle, seed=self.seed, epoch=self.epoch)
        mine = rank_order(order, rank=self.rank, world_size=self.world_size, uneven=self.uneven)
        for batch in range(self.first_batch + number, len(self), workers):
            positions = mine[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield _as_torch_batch(self.columns.read(positions, self.epoch))


class LatentLoader:
    """Iterates over epochs of `LatentBatches` and knows where it is.

    Each `iter()` is one epoch; when it ends, the next one begins another. An epoch that is broken off starts over,
    unless `load_state_dict` says where to go on.
    """

    def __init__(
        self,
        store: LatentStore,
        batch_size: int,
        columns: Sequence[str] | None = None,
        *,
        num_workers: int = 0,
        pin_memory: bool = False,
        prefetch_factor: int | None = None,
        multiprocessing_context: str | None = None,
        **options: Any,
    ) -> None:
        """Load batches of `store`.

        Args:
            store: The store.
            batch_size: Units per batch and rank.
            columns: As in `LatentBatches`.
            num_workers: Reading processes; 0 reads in this one. The batches are the same.
            pin_memory: As in torch's `DataLoader`.
            prefetch_factor: As in torch's `DataLoader`.
            multiprocessing_context: As in torch's `DataLoader`: `fork`, `spawn`, `forkserver`.
            options: The keyword arguments of `LatentBatches`.
        """
        self._batches = LatentBatches(store, batch_size, columns, **options)
        self._manifest = _manifest(store)
        self._loading: dict[str, Any] = {
            "num_workers": num_workers,
            "pin_memory": pin_memory,
            "prefetch_factor": prefetch_factor,
            "multiprocessing_context": multiprocessing_context if num_workers else None,
        }
        self._next_batch = 0
        self._resumed = False

    @property
    def epoch(self) -> int:
        """The epoch that runs, or that begins with the next `iter()`."""
        return self._batches.epoch

    def set_epoch(self, epoch: int) -> None:
        """Begin `epoch` with the next `iter()`."""
        self._batches.epoch, self._next_batch, self._resumed = epoch, 0, False

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The batches of an epoch that are still to come."""
        if not self._resumed:
            self._next_batch = 0
        self._resumed = False
        self._batches.first_batch = self._next_batch
        for batch in DataLoader(self._batches, batch_size=None, **self._loading):
            self._next_batch += 1
            yield batch
        self.set_epoch(self.epoch + 1)

    def state_dict(self) -> LoaderState:
        """Where it is: the batches handed out so far count as seen."""
        batches = self._batches
        return {
            "epoch": batches.epoch,
            "next_batch": self._next_batch,
            "identity": self._manifest.identity if self._manifest else None,
            "content_digest": self._manifest.content_digest if self._manifest else None,
            "num_units": len(batches.store),
            "batch_size": batches.batch_size,
            "world_size": batches.world_size,
            "uneven": batches.uneven,
            "drop_last": batches.drop_last,
            "shuffle": batches.shuffle,
            "seed": batches.seed,
            "draw": batches.draw,
            "scale": batches.scale,
        }

    def load_state_dict(self, state: LoaderState) -> None:
        """Go on after the batches that were seen at `state_dict()`.

        Raises:
            ValueError: The loader reads other batches than the one that the state is from. A store's identity and
                digest are compared where both are known.
        """
        given: Mapping[str, Any] = state
        for name, current in self.state_dict().items():
            unknown = name in _MAY_BE_UNKNOWN and None in (given[name], current)
            if name not in _PROGRESS and not unknown and given[name] != current:
                raise ValueError(
                    f"the state is of a loader with {name} {given[name]}, this one has {current}: "
                    f"batch {state['next_batch']} would be another one. Give both the same, or begin a new epoch"
                )
        self._batches.epoch, self._next_batch, self._resumed = state["epoch"], state["next_batch"], True


def _manifest(store: LatentStore) -> Manifest | None:
    try:
        return store.manifest
    except FileNotFoundError:
        return None


def _as_torch_batch(batch: Batch) -> dict[str, Any]:
    return {name: _as_torch(column) for name, column in batch.items()}


def _as_torch(column: Any) -> Any:
    if isinstance(column, list):
        return [_as_torch(value) if isinstance(value, np.ndarray) else value for value in column]
    return torch.from_numpy(column) if isinstance(column, np.ndarray) else column
