"""Which units of a store a page shows: the best, the worst and a seeded sample."""

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
    "pesq_wb",
    "pesq_nb",
    "estoi",
    "stoi",
    "si_sdr_db",
    "snr_db",
    "mrstft",
    "lsd",
    "log_mel_l1",
    "correlation",
)
"""What units are ranked by unless it is said: the first that a store has, as a column's name or the end of one."""
LOWER_IS_BETTER = ("log_mel_l1", "lsd", "mrstft", "_seconds")
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
    """The column to rank by; none where the store has no numbers."""
    names = [number.name for number in fields.numbers]
    for measure in BEST_FIRST:
        for name in names:
            if name == measure or name.endswith(f"_{measure}"):
                return name
    return names[0] if names else None


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
        last = _first(
            store, ranking.column, values, min(count, len(values) - len(best)), lowest=not ranking.lower_is_better
        )
        worst = tuple(name for name in last if name not in best)
    shown = {*best, *worst}
    drawn = [name for name in sample_ids(store.ids, count + len(shown), seed, "shown") if name not in shown]
    thinned = {*sample_ids(pa.array(drawn, pa.large_string()), count, seed, "shown")}
    return Selection(best=best, worst=worst, sample=tuple(name for name in drawn if name in thinned))


def _first(store: LatentStore, column: str, values: NDArray[np.float64], count: int, *, lowest: bool) -> list[str]:
    """Ids of the units with the lowest or highest values; ids are read of those alone, and of what ties with them."""
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


def sample_ids(ids: pa.Array, count: int, seed: int, purpose: str) -> list[str]:
    """A seeded sample of ids, in the order of `ids`: those whose own hashes are lowest, so no other unit decides."""
    if len(ids) <= count:
        return list(ids.to_pylist())
    hashes = unit_seeds(seed, ids, f"report {purpose}")
    chosen = np.sort(np.argsort(hashes, kind="stable")[:count])
    return list(ids.take(pa.array(chosen)).to_pylist())
