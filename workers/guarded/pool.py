"""Several guarded children at once, for many small items such as headers."""

import itertools
import queue
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from workers.guarded.guard import Guard
from workers.guarded.limits import GuardLimits
from workers.guarded.outcome import Outcome

BATCHES_AHEAD = 4
"""Per child, so that it never waits and few results do."""


class GuardPool:
    """At most `size` children, started as they are needed; they end with the `with` block."""

    def __init__(self, limits: GuardLimits, size: int) -> None:
        self._guards = [Guard(limits) for _ in range(size)]
        self._free: queue.SimpleQueue[Guard] = queue.SimpleQueue()
        for guard in self._guards:
            self._free.put(guard)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="guard")

    def map(self, function: str, batches: Iterable[Sequence[Any]], **arguments: Any) -> Iterator[list[Outcome]]:
        """Like `Guard.each` for each batch, in the order of the batches."""

        def work(batch: Sequence[Any]) -> list[Outcome]:
            guard = self._free.get()
            try:
                return guard.each(function, batch, **arguments)
            finally:
                self._free.put(guard)

        batches = iter(batches)
        ahead = len(self._guards) * BATCHES_AHEAD
        running = [self._threads.submit(work, batch) for batch in itertools.islice(batches, ahead)]
        while running:
            yield running.pop(0).result()
            running += [self._threads.submit(work, batch) for batch in itertools.islice(batches, 1)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for guard in self._guards:
            guard.close()
        self._threads.shutdown(cancel_futures=True)
        for guard in self._guards:
            guard.__exit__(kind, error, trace)
