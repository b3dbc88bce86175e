"""A remote file as bytes that are fetched where they are looked at: what a memory map is for a local one.

Ranges that will be wanted can be announced. They are fetched meanwhile, several at a time, neighbours together:

    announced   [--a--][-b-]           [---c---]
    requests    ^^^^^^^^^^^^           ^^^^^^^^^      then `remote[a]`, `remote[b]`, `remote[c]` wait for no more
"""

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from workers.files import RemoteFile

_REQUESTS_AT_ONCE = 16
_SMALL_GAP = 64 << 10
"""Fetching so much that nobody wants is quicker than another request."""
_LARGEST_REQUEST = 16 << 20
_KEPT_BYTES = 64 << 20
"""Of what was fetched ahead; what the last announcement asked for is kept in any case."""


class RemoteBytes:
    """The bytes of a remote file, as far as readers of `memoryview` need to know: length and slices."""

    def __init__(self, path: str) -> None:
        """Open a file.

        Raises:
            FileNotFoundError, PermissionError: As the words say.
            workers.files.StorageUnavailableError: The store does not answer.
        """
        self.file = RemoteFile(path)
        self._ahead: dict[int, tuple[int, Future[bytes]]] = {}
        """By first byte: the byte after the last, and what is or will be fetched; in order of age."""

    def __len__(self) -> int:
        """Size of the file."""
        return self.file.size

    def __getitem__(self, where: slice) -> memoryview:
        """A range of bytes.

        Raises:
            OSError: It cannot be read.
        """
        start, stop, _ = where.indices(self.file.size)
        for begin, (end, data) in self._ahead.items():
            if begin <= start and stop <= end:
                return memoryview(data.result())[start - begin : stop - begin]
        return memoryview(self.file.read(start, stop - start))

    def announce(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Begin to fetch ranges (first byte, byte after the last) that will be looked at soon."""
        wanted = [(start, stop) for start, stop in sorted(ranges) if start < stop and not self._has(start, stop)]
        fresh = merge_ranges(wanted, gap=_SMALL_GAP, largest=_LARGEST_REQUEST)
        pool = _pool(os.getpid())
        for start, stop in fresh:
            self._ahead.pop(start, None)
            self._ahead[start] = (stop, pool.submit(self.file.read, start, stop - start))
        kept = sum(end - begin for begin, (end, _) in self._ahead.items())
        for start in list(self._ahead)[: len(self._ahead) - len(fresh)]:
            if kept <= _KEPT_BYTES:
                break
            kept -= self._ahead.pop(start)[0] - start

    def _has(self, start: int, stop: int) -> bool:
        return any(begin <= start and stop <= end for begin, (end, _) in self._ahead.items())


def merge_ranges(ranges: Iterable[tuple[int, int]], *, gap: int, largest: int) -> list[tuple[int, int]]:
    """Ranges in ascending order, those that lie closer than `gap` bytes made one, as long as that is not too large."""
    merged: list[tuple[int, int]] = []
    for start, stop in ranges:
        if merged and start - merged[-1][1] <= gap and stop - merged[-1][0] <= largest:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


@cache
def _pool(process: int) -> ThreadPoolExecutor:  # noqa: ARG001 (threads do not survive a fork)
    return ThreadPoolExecutor(_REQUESTS_AT_ONCE, thread_name_prefix="remote-bytes")
