"""Rows out of parts, and what to keep in memory for the next row."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.store import location
from pipeline.store.part import Part
from pipeline.store.recent import Recent
from pipeline.store.stored_tensor import StoredTensor

Batch = dict[str, Any]
"""Columns by name: an array `[n, ...]`, or a list of n values."""

_MAX_OPEN_PARTS = 64  # with their footers parsed
_MAX_MAPPED_COLUMNS = 32_000  # Linux allows a process 65,530 mappings
_WHOLE_PART = -1


class PartCursor:
    """Reads rows of the parts of one store."""

    def __init__(self, paths: Sequence[str], cache_bytes: int) -> None:
        """Read from the files `paths`, keeping at most `cache_bytes` of decoded columns."""
        self._paths = paths
        self._remote = bool(paths) and not location.is_local(paths[0])
        self._cache_bytes = cache_bytes
        self._process = os.getpid()
        self._forget()

    def _forget(self) -> None:
        self._parts = Recent[int, Part](_MAX_OPEN_PARTS)
        self._tensors = Recent[tuple[int, str], StoredTensor](_MAX_MAPPED_COLUMNS)
        self._decoded = Recent[tuple[int, str, int], pa.Array](self._cache_bytes, size=lambda array: int(array.nbytes))

    def part(self, part: int) -> Part:
        """A part, opened.

        Raises:
            pipeline.store.part.DamagedPartError: It is cut short.
        """
        if self._remote and self._process != os.getpid():  # forked: sockets cannot be shared with the parent
            self._process = os.getpid()
            self._forget()
        return self._parts.get(part, lambda: Part(self._paths[part]))

    def gather(self, parts: NDArray[Any], rows: NDArray[Any], names: Sequence[str], tensors: set[str]) -> Batch:
        """Some rows in any order.

        Args:
            parts: Number of the part of each row, `[n]`.
            rows: Row within the part, `[n]`.
            names: Columns to read.
            tensors: Those of them that are tensors.
        """
        places = list(zip(parts.tolist(), rows.tolist(), strict=True))
        return {
            name: self._gather_tensors(name, places) if name in tensors else self._gather_values(name, parts, rows)
            for name in names
        }

    def span(self, part: int, start: int, stop: int, names: Sequence[str], tensors: set[str]) -> Batch:
        """The rows from `start` to `stop` (exclusive) of one part."""
        if self._remote:
            self._announce_span(part, start, stop, [name for name in names if name in tensors])
        batch: Batch = {}
        for name in names:
            if name not in tensors:
                batch[name] = _values(self._column(part, name)[start:stop])
                continue
            tensor = self._tensor(part, name)
            varies = tensor.shapes is not None
            batch[name] = [tensor.value(row) for row in range(start, stop)] if varies else tensor.span(start, stop)
        return batch

    def _gather_tensors(self, name: str, places: list[tuple[int, int]]) -> Any:
        if self._remote:
            self._announce_places(name, places)
        first = self._tensor(places[0][0] if places else 0, name)
        if first.shapes is not None:
            return [self._tensor(part, name).value(row) for part, row in places]
        stack = np.empty((len(places), *first.shape), first.dtype)
        width = first.num_bytes
        target = memoryview(stack.reshape(-1).view(np.uint8).data)
        for slot, (part, row) in enumerate(places):
            target[slot * width : (slot + 1) * width] = self._tensor(part, name).raw(row)
        return stack

    def _announce_places(self, name: str, places: list[tuple[int, int]]) -> None:
        """Have the tensors of a batch fetched at once rather than one after the other."""
        for part in dict.fromkeys(part for part, _ in places):
            self._tensor(part, name).announce(row for other, row in places if other == part)

    def _announce_span(self, part: int, start: int, stop: int, names: Sequence[str]) -> None:
        """Have these rows fetched, and those up to the end of the row group after them: they come next."""
        edges = self.part(part).first_rows
        ahead = edges.item(min(int(np.searchsorted(edges, stop)) + 1, len(edges) - 1))
        for name in names:
            self._tensor(part, name).announce(range(start, ahead))

    def _gather_values(self, name: str, parts: NDArray[Any], rows: NDArray[Any]) -> Any:
        pieces, places = [], []
        for part in np.unique(parts).tolist():
            here = np.flatnonzero(parts == part)
            pieces.append(self._column(part, name).take(pa.array(rows[here])))
            places.append(here)
        if not pieces:
            return []
        return _values(pa.concat_arrays(pieces).take(pa.array(np.argsort(np.concatenate(places)))))

    def _tensor(self, part: int, name: str) -> StoredTensor:
        return self._tensors.get((part, name), lambda: self._open_tensor(part, name))

    def _open_tensor(self, part: int, name: str) -> StoredTensor:
        return StoredTensor(self.part(part), name, lambda group: self._column(part, name, group))

    def _column(self, part: int, name: str, group: int = _WHOLE_PART) -> pa.Array:
        return self._decoded.get((part, name, group), lambda: self._decode(part, name, group))

    def _decode(self, part: int, name: str, group: int) -> pa.Array:
        column = self.part(part).read([name], None if group == _WHOLE_PART else group).column(0)
        return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def join_batches(batches: Sequence[Batch]) -> Batch:
    """Batches of the same columns, one after the other."""
    if len(batches) == 1:
        return batches[0]
    joined: Batch = {}
    for name in batches[0]:
        columns = [batch[name] for batch in batches]
        if all(isinstance(column, np.ndarray) for column in columns):
            joined[name] = np.concatenate(columns)
        else:
            joined[name] = [value for column in columns for value in _listed(column)]
    return joined


def single_row(batch: Batch) -> dict[str, Any]:
    """The one row of a batch, with numbers as Python's."""
    return {name: column[0].item() if _is_numbers(column) else column[0] for name, column in batch.items()}


def _is_numbers(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.ndim == 1


def _listed(column: Any) -> list[Any]:
    return column.tolist() if _is_numbers(column) else list(column)


def _values(array: pa.Array) -> Any:
    """Numbers without nulls as an array, anything else as a list of Python values."""
    types = pa.types
    plain = types.is_integer(array.type) or types.is_floating(array.type) or types.is_boolean(array.type)
    if plain and not array.null_count:
        return np.array(array.to_numpy(zero_copy_only=False))
    return array.to_pylist()
