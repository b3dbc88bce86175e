"""Ids in ascending order, searched without turning them into Python strings."""

from bisect import bisect_left
from collections.abc import Sequence
from difflib import get_close_matches
from typing import overload

import numpy as np
import pyarrow as pa

_NEIGHBOURS = 500  # on each side; comparing with them takes some 10 ms


class SortedIds(Sequence[bytes]):
    """A view of a sorted large string array; a lookup touches about 25 of 10 million ids."""

    def __init__(self, ids: pa.LargeStringArray) -> None:
        """Look at `ids`, which are ascending (by their UTF-8 bytes, which is also by code points)."""
        _, offsets, data = ids.buffers()
        start = ids.offset
        self._offsets = np.frombuffer(offsets, np.int64)[start : start + len(ids) + 1] if len(ids) else np.zeros(1, int)
        self._data = memoryview(data or b"").cast("B")

    def __len__(self) -> int:
        """Number of ids."""
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, position: int) -> bytes: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[bytes]: ...
    def __getitem__(self, position: int | slice) -> bytes | Sequence[bytes]:
        """The UTF-8 bytes of an id."""
        if isinstance(position, slice):
            return [self[which] for which in range(*position.indices(len(self)))]
        return bytes(self._data[self._offsets[position] : self._offsets[position + 1]])

    def find(self, sample_id: str) -> int | None:
        """Position of an id, or none."""
        wanted = sample_id.encode()
        position = bisect_left(self, wanted)
        return position if position < len(self) and self[position] == wanted else None

    def like(self, sample_id: str) -> list[str]:
        """Up to three ids that resemble one that is not there, out of its neighbours in the order."""
        position = bisect_left(self, sample_id.encode())
        neighbours = self[max(0, position - _NEIGHBOURS) : position + _NEIGHBOURS]
        return get_close_matches(sample_id, [neighbour.decode() for neighbour in neighbours])
