"""Which units of a store a page shows: the best, the worst and a seeded sample."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.report.fields import Fields
from pipeline.report.numbers import number_values
from pipeline.seeds import unit_seeds
from pipeline.store.reader import LatentStore
from pipeline.store.schema import SAMPLE_ID

BEST_FIRST = (
    "clap",
    "pesq_wb",
    "pesq_nb",
    "estoi",
    "stoi",
    "mrstft",
    "lsd",
    "log_mel_l1",
    "si_sdr_db",
    "snr_db",
    "correlation",
    "silence_fraction",
    "clipped_fraction",
)
"""What units are ranked by unless it is said: the first that a store has, as a column's name or the end of one.
Metrics of the waveform come last: of sounds made anew from a spectrogram they say little."""
LOWER_IS_BETTER = ("log_mel_l1", "lsd", "mrstft", "silence_fraction", "clipped_fraction", "seconds")
"""Ends of the names of columns of which less is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The column that says how good a unit is."""

    column: str
    lower_is_better: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Ids of units to be shown one by one; none is in two of them."""

    best: tuple[str, ...]
    """Best first."""
    worst: tuple[str, ...]
    """Worst first."""
    sample: tuple[str, ...]
    """In order of their ids."""

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them."""
        return self.best + self.worst + self.sample


def default_ranking(fields: Fields) -> str | None:
    """The column to rank by; none where the store has no number that says how good a unit is, as a level does not."""
    names = [number.name for number in fields.numbers]
    for measure in BEST_FIRST:
        for name in names:
            if name == measure or name.endswith(f"_{measure}"):
                return name
    return None


def is_lower_better(column: str) -> bool:
    """Whether less is better, as far as the name tells."""
    return column.endswith(LOWER_IS_BETTER)


def select_units(store: LatentStore, ranking: Ranking | None, *, count: int, seed: int) -> Selection:
    """Up to `count` of the best, of the worst, and of the others at random.

    Ties are in order of the ids, so that the same content gives the same units however it lies on the disk.

    Args:
        store: Any store.
        ranking: What to judge by; without it all are sampled.
        count: How many of each.
        seed: Of the sample.
    """
    best: tuple[str, ...] = ()
    worst: tuple[str, ...] = ()
    if ranking is not None and count:
        values = number_values(store.select([ranking.column])[ranking.column])
        values = values[~np.isnan(values)]
        best = tuple(_first(store, ranking.column, values, count, lowest=ranking.lower_is_better))
        num_last = count + len(best)  # where values tie, the best may be among them
        last = _first(store, ranking.column, values, num_last, lowest=not ranking.lower_is_better)
        worst = tuple(name for name in last if name not in best)[:count]
    others = sample_ids(store.ids, count, seed, "shown", besides={*best, *worst})
    return Selection(best=best, worst=worst, sample=tuple(others))


def _first(store: LatentStore, column: str, values: NDArray[np.float64], count: int, *, lowest: bool) -> list[str]:
    """Ids of the units with the lowest or highest values; ids are read of those alone, and of what ties with them."""
    count = min(count, len(values))
    if count < 1:
        return []
    if lowest:
        where = pc.field(column) <= float(np.partition(values, count - 1)[count - 1])
    else:
        where = pc.field(column) >= float(np.partition(values, len(values) - count)[len(values) - count])
    found = store.select([SAMPLE_ID, column], where & ~pc.is_nan(pc.field(column)))
    order = "ascending" if lowest else "descending"
    places = pc.sort_indices(found, [(column, order), (SAMPLE_ID, "ascending")])
    return list(found[SAMPLE_ID].take(places[:count]).to_pylist())


def sample_ids(
    ids: pa.Array, count: int, seed: int, purpose: str, *, besides: Collection[str] = frozenset()
) -> list[str]:
    """A seeded sample of ids, in the order of `ids`: those whose own hashes are lowest, so no other unit decides.

    Args:
        ids: To choose from.
        count: How many, at most.
        seed: Of the sample.
        purpose: Another one gives another sample.
        besides: Ids that are not to be in it.
    """
    wanted = count + len(besides)
    order = np.arange(len(ids))
    if len(ids) > wanted:
        order = np.argsort(unit_seeds(seed, ids, f"report {purpose}"), kind="stable")[:wanted]
    drawn = zip(order.tolist(), ids.take(pa.array(order)).to_pylist(), strict=True)
    kept = [(place, name) for place, name in drawn if name not in besides]
    if len(kept) > count:  # where there was no need to draw, there may be now
        hashes = unit_seeds(seed, pa.array([name for _, name in kept], pa.large_string()), f"report {purpose}")
        kept = [kept[at] for at in np.argsort(hashes, kind="stable")[:count]]
    return [name for _, name in sorted(kept)]
