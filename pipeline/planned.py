"""The plan: the units of a job, in order, with little of each in memory.

    held for every unit, 21 bytes                  put together or read when it is asked for
    seed · duration · shape bucket · readable │    sample_id · source · where its bytes lie · metadata …

What resuming, placing and counting need is held as numpy arrays; rows come from `Rows`: a listing and how it was cut
(`pipeline.plan`), the Parquet file that a run saved (`pipeline.saved_plan`), or a table in memory. So ten million units
are 210 MB, where their table is two gigabytes.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

CHUNK = 1 << 17
"""Rows that are put together at once where all are gone through."""


class Rows(Protocol):
    """Where the rows of a plan come from; other processes read them too, so it can be pickled."""

    schema: pa.Schema

    def read(self, positions: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Columns of the rows at some positions, in the order of `positions`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is held of every unit."""

    seeds: NDArray[np.uint64]
    """`[units]`"""
    seconds: NDArray[np.float64]
    """True durations, `[units]`."""
    shape: NDArray[np.int32]
    """Index into `shapes`, `[units]`."""
    shapes: list[tuple[int, int]]
    """Padded samples and channels of each shape bucket."""

    readable: NDArray[np.bool_]
    """False where the header could not be read, `[units]`."""

    COLUMNS = ("seed", "duration_seconds", "_bucket_samples", "_bucket_channels", "_probe_error")

    @classmethod
    def of(cls, units: pa.Table) -> Self:
        """From a table with COLUMNS."""
        codes = shape_code(units["_bucket_samples"].to_numpy(), units["_bucket_channels"].to_numpy())
        shape, shapes = number_shapes(codes)
        return cls(
            seeds=units["seed"].to_numpy(),
            seconds=units["duration_seconds"].to_numpy(),
            shape=shape,
            shapes=shapes,
            readable=np.asarray(pc.is_null(units["_probe_error"])),
        )

    def take(self, positions: NDArray[np.int64]) -> "Facts":
        """Of some of the units."""
        return Facts(
            seeds=self.seeds[positions],
            seconds=self.seconds[positions],
            shape=self.shape[positions],
            shapes=self.shapes,
            readable=self.readable[positions],
        )


class Plan:
    """The units of a job, or some of them, in plan order."""

    def __init__(self, rows: Rows, facts: Facts, positions: NDArray[np.int64] | None = None) -> None:
        """Of all rows, or of those at `positions`, which `facts` are of.

        Args:
            rows: what rows are read from.
            facts: of the units of this plan.
            positions: their rows, `[units]`; all of them, in order, if none.
        """
        self._rows = rows
        self._facts = facts
        self._positions = positions
        self._has_unique_seeds: bool | None = None
        self.seeds_of_parts: dict[str, NDArray[np.uint64]] = {}
        """Seeds of the units in each part of the store that was looked at so far: what `pipeline.pending` remembers."""

    @classmethod
    def of(cls, units: pa.Table) -> Self:
        """From a table that is in memory."""
        return cls(_TableRows(units), Facts.of(units))

    @property
    def num_rows(self) -> int:
        """Number of units."""
        return len(self._facts.seeds)

    @property
    def schema(self) -> pa.Schema:
        """Of the rows."""
        return self._rows.schema

    @property
    def seeds(self) -> NDArray[np.uint64]:
        """Seed of each unit, `[units]`."""
        return self._facts.seeds

    @property
    def has_unique_seeds(self) -> bool:
        """Whether a seed says which unit it is: of plans with ten million units, all but three in a million.

        For a part of a plan, what holds for the whole: a unit of the rest, with the same seed, may be in the store.
        """
        if self._has_unique_seeds is None:
            ordered = np.sort(self.seeds)
            self._has_unique_seeds = not bool(np.any(ordered[1:] == ordered[:-1]))
        return self._has_unique_seeds

    @property
    def shapes(self) -> dict[tuple[int, int], int]:
        """Padded samples and channels → number of units."""
        counts = np.bincount(self._facts.shape, minlength=len(self._facts.shapes))
        return {shape: int(count) for shape, count in zip(self._facts.shapes, counts, strict=True) if count}

    @property
    def readable(self) -> NDArray[np.bool_]:
        """False where the header could not be read, `[units]`."""
        return self._facts.readable

    @property
    def shape_of_units(self) -> NDArray[np.int32]:
        """A number for the shape bucket of each unit, `[units]`."""
        return self._facts.shape

    @property
    def num_items(self) -> int:
        """Items that the units are of, if all units of each are here: just the first begins at 0."""
        return sum(pc.sum(pc.equal(batch["_start_sample"], 0)).as_py() for batch in self.batches(["_start_sample"]))

    @property
    def audio_seconds(self) -> float:
        """Audio in all units, added up without rounding; overlaps count twice, padding not at all."""
        chunks = range(0, self.num_rows, CHUNK)
        return math.fsum(itertools.chain.from_iterable(self._facts.seconds[at : at + CHUNK].tolist() for at in chunks))

    @property
    def rows(self) -> Rows:
        """What rows are read from."""
        return self._rows

    @property
    def positions(self) -> NDArray[np.int64]:
        """Where in `rows` the units are, `[units]`."""
        return np.arange(self.num_rows) if self._positions is None else self._positions

    def move_to(self, rows: Rows) -> None:
        """Reads rows from somewhere else from now on, which holds the same; what they came from is let go."""
        self._rows = rows

    def __getitem__(self, column: str) -> pa.ChunkedArray:
        """One column of all units."""
        return self.table([column])[column]

    def take(self, positions: NDArray[np.int64]) -> "Plan":
        """Some of the units; `positions` are among those of this plan."""
        rows = positions if self._positions is None else self._positions[positions]
        plan = Plan(self._rows, self._facts.take(positions), rows)
        plan._has_unique_seeds = self.has_unique_seeds
        plan.seeds_of_parts = self.seeds_of_parts
        return plan

    def filter(self, which: NDArray[np.bool_]) -> "Plan":
        """The units for which `which` is true; this plan itself if that is all."""
        return self if which.all() else self.take(np.flatnonzero(which))

    def slice(self, start: int, length: int) -> "Plan":
        """Consecutive units."""
        return self.take(np.arange(start, min(start + length, self.num_rows)))

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The units as rows; all columns, or some.

        Raises:
            KeyError: there is no such column.
        """
        names = self.schema.names if columns is None else list(columns)
        unknown = [name for name in names if name not in self.schema.names]
        if unknown:
            raise KeyError(f"the plan has no column {unknown[0]!r}; it has {', '.join(self.schema.names)}")
        chunks = [self._read(start, names) for start in range(0, self.num_rows, CHUNK)]
        return pa.concat_tables(chunks) if chunks else pa.schema([self.schema.field(n) for n in names]).empty_table()

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The units as rows, CHUNK at a time."""
        names = self.schema.names if columns is None else list(columns)
        for start in range(0, self.num_rows, CHUNK):
            yield self._read(start, names)

    def named(self, ids: pa.Array) -> NDArray[np.bool_]:
        """Whether the id of each unit is one of `ids`, `[units]`."""
        if not len(ids):
            return np.zeros(self.num_rows, np.bool_)
        wanted = ids.cast(pa.string())
        found = [pc.is_in(batch["sample_id"], value_set=wanted).to_numpy() for batch in self.batches(["sample_id"])]
        return np.concatenate([np.zeros(0, np.bool_), *found])

    def _read(self, start: int, names: Sequence[str]) -> pa.Table:
        stop = min(start + CHUNK, self.num_rows)
        which = np.arange(start, stop) if self._positions is None else self._positions[start:stop]
        return self._rows.read(which, names)


class _TableRows:
    """Rows of a table in memory."""

    def __init__(self, units: pa.Table) -> None:
        self._units = units.combine_chunks()
        self.schema = units.schema

    def read(self, positions: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """As `Rows` says."""
        return self._units.select(list(columns)).take(pa.array(positions))


def is_among(keys: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each of `keys` is one of `others`, `[keys]`.

    Both are sorted first: ten million lookups then follow one another in memory, and take a tenth of the time.
    """
    found = np.zeros(len(keys), np.bool_)
    if len(keys) and len(others):
        order = np.argsort(keys)
        wanted, there = keys[order], np.sort(others)
        at = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
        found[order] = there[at] == wanted
    return found


def match_units(first: Plan, second: Plan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in `first` and in `second` of the units that are in both, in the order of `first`."""
    if first.has_unique_seeds and second.has_unique_seeds:
        _, at_first, at_second = np.intersect1d(first.seeds, second.seeds, assume_unique=True, return_indices=True)
    else:
        found = pc.index_in(first["sample_id"], value_set=second["sample_id"]).combine_chunks()
        at_first = np.flatnonzero(np.asarray(found.is_valid()))
        at_second = np.asarray(found.drop_null(), np.int64)
    order = np.argsort(at_first)
    return at_first[order], at_second[order]


def shape_code(samples: NDArray[np.int64], channels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Padded samples and channels of each unit as one number, `[units]`."""
    return (samples.astype(np.int64) << 24) + channels


def number_shapes(codes: NDArray[np.int64]) -> tuple[NDArray[np.int32], list[tuple[int, int]]]:
    """A small number for each unit's shape, `[units]`, and the shapes, ascending."""
    encoded = pc.dictionary_encode(pa.array(codes))
    found = encoded.dictionary.to_numpy()
    rank = np.argsort(np.argsort(found)).astype(np.int32)
    return rank[encoded.indices.to_numpy()], [(int(code >> 24), int(code & 0xFFFFFF)) for code in np.sort(found)]
