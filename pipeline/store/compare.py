"""How far two rows, or two stores, are apart."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.store import location
from pipeline.store.index import Units
from pipeline.store.part import Part
from pipeline.store.schema import ROW_DIGEST, ROW_DIGEST_BYTES
from pipeline.store.sorted_ids import SortedIds

_WINDOW = 1 << 16  # ids that are merged at a time


@dataclass(slots=True, kw_only=True)
class TensorDifference:
    """How far the tensors of one column are apart, over as many rows as were added."""

    num_rows: int = 0
    """Rows in which they differ."""
    num_reshaped: int = 0
    """Of these, rows whose shapes differ, so that values cannot be compared."""
    max_abs: float = 0.0
    """Largest absolute difference; NaN if one side has a NaN where the other has none."""
    sum_squares: float = 0.0
    num_values: int = 0
    """Values compared, in the rows that differ."""

    @property
    def rms(self) -> float:
        """Root of the mean squared difference over the values of the rows that differ."""
        return float(np.sqrt(self.sum_squares / self.num_values)) if self.num_values else 0.0

    def add(self, first: NDArray[Any], second: NDArray[Any]) -> None:
        """Counts one row."""
        if first.shape == second.shape and first.dtype == second.dtype and first.tobytes() == second.tobytes():
            return
        self.num_rows += 1
        if first.shape != second.shape:
            self.num_reshaped += 1
            return
        before, after = first.astype(np.float64), second.astype(np.float64)
        same = (before == after) | (np.isnan(before) & np.isnan(after))  # so that equal infinities are no distance
        with np.errstate(invalid="ignore"):
            distance = np.where(same, 0.0, np.abs(before - after))
        self.max_abs = float(np.maximum(self.max_abs, distance.max(initial=0.0)))
        self.sum_squares += float(np.square(distance).sum())
        self.num_values += distance.size

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program; a distance that is infinite or NaN as text, since JSON has no number for it."""
        distances = {name: getattr(self, name) for name in ("max_abs", "rms")}
        told = {name: value if np.isfinite(value) else str(value) for name, value in distances.items()}
        return {"num_rows": self.num_rows, "num_reshaped": self.num_reshaped, **told}


@dataclass(slots=True, kw_only=True)
class Difference:
    """What differs between rows of one id."""

    tensors: dict[str, TensorDifference] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)
    """Other columns that differ, and in how many rows."""

    def add(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
        """Counts one row; columns that only one side has are left out."""
        for name in first:
            if name not in second:
                continue
            before, after = first[name], second[name]
            if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
                self.tensors.setdefault(name, TensorDifference()).add(before, after)
            elif not _same(before, after):
                self.columns[name] = self.columns.get(name, 0) + 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not self.columns and not any(tensor.num_rows for tensor in self.tensors.values())

    def merge(self, other: "Difference") -> None:
        """Counts the rows of another one as well."""
        for name, tensor in other.tensors.items():
            mine = self.tensors.setdefault(name, TensorDifference())
            mine.max_abs = float(np.maximum(mine.max_abs, tensor.max_abs))
            for count in ("num_rows", "num_reshaped", "sum_squares", "num_values"):
                setattr(mine, count, getattr(mine, count) + getattr(tensor, count))
        for name, num_rows in other.columns.items():
            self.columns[name] = self.columns.get(name, 0) + num_rows

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        return {"tensors": {name: value.as_json() for name, value in self.tensors.items()}, "columns": self.columns}


@dataclass(frozen=True, slots=True)
class Matched:
    """Two lists of sorted ids, laid side by side: positions in the first, and in the second."""

    both: tuple[NDArray[np.int64], NDArray[np.int64]]
    """Of ids that are in both, in order."""
    only_first: NDArray[np.int64]
    only_second: NDArray[np.int64]


def match_ids(first: pa.LargeStringArray, second: pa.LargeStringArray) -> Matched:
    """Finds the ids that two sorted lists have in common, a stretch at a time.

    Args:
        first: Sorted ids, each once.
        second: The same of another store.
    """
    found = list(_windows(first, second))
    both = tuple(_joined([window[side] for window in found]) for side in (0, 1))
    lone = [np.setdiff1d(np.arange(len(ids)), there) for ids, there in zip((first, second), both, strict=True)]
    return Matched((both[0], both[1]), lone[0], lone[1])


def gather_digests(store: str, units: Units) -> NDArray[np.uint8]:
    """The stored digest of each unit, `[units, 16]`; 160 MB for 10 million."""
    digests = np.empty((len(units), ROW_DIGEST_BYTES), np.uint8)
    order = np.argsort(units.file, kind="stable")
    edges = np.searchsorted(units.file[order], np.arange(len(units.files) + 1))
    for file, name in enumerate(units.files):
        here = order[edges[file] : edges[file + 1]]
        if len(here):
            column = Part(location.join(store, location.DATA, name)).read([ROW_DIGEST]).column(0).combine_chunks()
            values = np.frombuffer(column.buffers()[1], np.uint8)[column.offset * ROW_DIGEST_BYTES :]
            digests[here] = values[: len(column) * ROW_DIGEST_BYTES].reshape(-1, ROW_DIGEST_BYTES)[units.row[here]]
    return digests


def _windows(
    first: pa.LargeStringArray, second: pa.LargeStringArray
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Positions of ids in both, for one stretch of `first` after the other and the stretch of `second` beside it."""
    others = SortedIds(second)
    for start in range(0, len(first), _WINDOW):
        here = first[start : start + _WINDOW]
        low = bisect_left(others, here[0].as_buffer().to_pybytes())
        high = bisect_right(others, here[-1].as_buffer().to_pybytes())
        at = pc.index_in(here, value_set=second[low:high])
        mine = np.flatnonzero(pc.is_valid(at).to_numpy(zero_copy_only=False))
        yield start + mine, low + pc.drop_null(at).to_numpy().astype(np.int64)


def _joined(arrays: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int64)


def _same(before: Any, after: Any) -> bool:
    both_nan = before != before and after != after  # NaN alone is not itself
    return bool(type(before) is type(after) and (before == after or both_nan))
