"""Runs functions over items in a child process, so that an item that kills, hangs or bloats its process costs itself.

    parent                                 child (one at a time, replaced when it died)
    each("module:function", items) ──────▶ for result in function(items): …
        item 0, 1 ◀─────────────────────── Value, Raised   an exception is an ordinary answer
                                           item 2          made, but not sent yet
                ◀── hung up ────────────── item 3 ✝ SIGSEGV, says the progress that both can see
        item 2 ──────────────────────────▶ new child       made again
        item 3 ──────────────────────────▶ the same        the suspect is tried once more, alone
        item 4 … ────────────────────────▶ the same, or a new one if item 3 is guilty

A result never depends on the items beside it, so those that shared a child with a guilty one keep theirs.
"""

import contextlib
import itertools
import mmap
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from workers.guarded.limits import GuardLimits
from workers.guarded.outcome import Died, Outcome, cause_of_death, out_of_time
from workers.guarded.shared_rows import Shape, SharedRows, anonymous_file, num_bytes_of

GRACE_SECONDS = 10.0
"""How long the guard waits beyond the time limit for a child that should have ended itself."""

START_SECONDS = 120.0
"""How long a child may take to start, on a machine that is very busy."""


MAX_ANSWER_BYTES = 1 << 26


class GuardError(RuntimeError):
    """The guard itself does not work here; no item is to blame."""


@dataclass(frozen=True, slots=True)
class _Request:
    """Items and what to do with them."""

    function: str
    items: Sequence[Any]
    rows: SharedRows | None
    slots: Sequence[int]
    arguments: dict[str, Any]

    @property
    def target(self) -> tuple[int, Shape, Sequence[int]] | None:
        return None if self.rows is None else (self.rows.number, self.rows.shape, self.slots)

    def part(self, start: int, stop: int) -> "_Request":
        return replace(self, items=self.items[start:stop], slots=self.slots[start:stop])


class Guard:
    """A child process that is started when it is needed, and again whenever it died. One call at a time uses it."""

    def __init__(self, limits: GuardLimits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._progress: memoryview = memoryview(bytes(8)).cast("q")
        self._memory: list[SharedRows] = []
        self._numbers = itertools.count()
        self._mapped: set[int] = set()
        self._closed = False

    def rows(self, shape: Shape) -> tuple[SharedRows, NDArray[np.float32]]:
        """Memory for the arrays of one call, and the same as an array [rows, channels, samples] of no meaning yet."""
        with self._lock:
            free = [memory for memory in self._memory if memory.is_free]
            for memory in free:
                if memory.num_bytes >= num_bytes_of(shape):
                    return memory, memory.hand_out(shape)
            for memory in free:
                self._forget(memory)
            memory = SharedRows(next(self._numbers), num_bytes_of(shape))
            self._memory.append(memory)
            return memory, memory.hand_out(shape)

    def each(
        self,
        function: str,
        items: Sequence[Any],
        *,
        rows: SharedRows | None = None,
        slots: Sequence[int] | None = None,
        **arguments: Any,
    ) -> list[Outcome]:
        """Calls a function on items, all of them that can be done.

        Args:
            function: `module:name` of a function of the form `function(items, **arguments) -> Iterator`, which gives
                one result per item in their order, and may be called again with some of them.
            items: anything that can be pickled.
            rows: from `rows`: where arrays [channels, samples] are to be put, with zeros behind them, instead of being
                sent. What does not come to that leaves its row undefined.
            slots: the row of each item.
            **arguments: passed on.

        Returns:
            One outcome per item.

        Raises:
            GuardError: no child can be started, the function cannot be imported, or the guard is closed.
        """
        slots = range(len(items)) if slots is None else slots
        with self._lock:
            return self._each(_Request(function, items, rows, slots, arguments))

    def _each(self, request: "_Request") -> list[Outcome]:
        outcomes: list[Outcome] = []
        while len(outcomes) < len(request.items):
            rest = request.part(len(outcomes), len(request.items))
            got, died = self._attempt(rest)
            outcomes += got
            if died is not None:
                suspect = min(self._progress[0], len(rest.items) - 1)
                if suspect > len(got):
                    outcomes += self._each(rest.part(len(got), suspect))
                got, died = self._attempt(rest.part(suspect, suspect + 1))
                outcomes += got if died is None else [died]
        return outcomes

    def close(self) -> None:
        """Ends the child, even in the middle of a call, which then raises GuardError."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        with self._lock:
            self._bury()
            for memory in self._memory:
                memory.close()
            self._memory = []

    def _attempt(self, request: "_Request") -> tuple[list[Outcome], Died | None]:
        """Outcomes as far as the child comes, and what killed it, if anything did."""
        for _ in range(2):
            connection = self._living_child()
            if request.rows is not None and request.rows.number not in self._mapped:
                self._share(connection, request.rows)
            self._progress[0] = 0
            self._tell("run", request.function, request.items, request.target, request.arguments)
            heard = self._hear(START_SECONDS)
            if not isinstance(heard, Died):  # else an idle child died just now, which no item is to blame for
                break
        if isinstance(heard, str):
            raise GuardError(heard)
        outcomes: list[Outcome] = []
        while not isinstance(heard, Died) and len(outcomes) < len(request.items):
            heard = self._hear(self.limits.seconds + GRACE_SECONDS)
            if not isinstance(heard, Died):
                outcomes += heard
        return outcomes, heard if isinstance(heard, Died) else None

    def _living_child(self) -> Connection:
        """The child's connection; a new child where there is none, or it died while it had nothing to do."""
        if self._process is not None and (self._process.poll() is not None or self._connection is None):
            self._bury()
        if self._connection is not None:
            return self._connection
        if self._closed:
            raise GuardError("the guard is closed")
        return self._start()

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        limits = self.limits
        progress = anonymous_file(mmap.PAGESIZE)
        self._progress = memoryview(mmap.mmap(progress, mmap.PAGESIZE)).cast("q")
        with theirs, open(progress, "rb"):
            descriptors = theirs.fileno(), progress
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "workers.guarded.child"),
                    *map(str, (*descriptors, limits.seconds, limits.memory_gib)),
                ],
                stdin=subprocess.PIPE,
                pass_fds=descriptors,
                env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(_import_path())},
            )
        self._connection = Connection(ours.detach())
        heard = self._hear(START_SECONDS)
        if heard != "ready":
            reason = heard.reason if isinstance(heard, Died) else heard
            raise GuardError(f"the process that guards decoding does not start: it {reason}; its error is in the log")
        return self._connection

    def _share(self, connection: Connection, rows: SharedRows) -> None:
        self._tell("map", rows.number, rows.num_bytes)
        with contextlib.suppress(ConnectionError), socket.socket(fileno=os.dup(connection.fileno())) as sock:
            socket.send_fds(sock, [b"\0"], [rows.file])
        self._mapped.add(rows.number)

    def _forget(self, rows: SharedRows) -> None:
        self._memory.remove(rows)
        rows.close()
        if rows.number in self._mapped and self._connection is not None:
            self._tell("forget", rows.number)

    def _tell(self, *message: Any) -> None:
        """Sends a request. If the child is dead, the next `_hear` finds out."""
        assert self._connection is not None
        with contextlib.suppress(ConnectionError):
            self._connection.send(message)

    def _hear(self, seconds: float) -> Any:
        """The child's next message; if it died or says nothing for so long, it is buried and Died tells why."""
        assert self._connection is not None
        try:
            if self._connection.poll(seconds):
                return pickle.loads(self._connection.recv_bytes(MAX_ANSWER_BYTES))
        except (EOFError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001 (a child whose memory is in disorder may send anything)
            self._bury(kill=True)
            return Died("crash", "crash", f"makes its process answer in a way that cannot be read ({error})")
        else:
            self._bury(kill=True)
            return out_of_time(self.limits)
        exit_code = self._bury()
        if self._closed:
            raise GuardError("the guard is closed")
        return cause_of_death(exit_code, self.limits)

    def _bury(self, *, kill: bool = False) -> int:
        """Makes sure that the child is dead, and gives its exit code."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        self._mapped = set()
        if connection is not None:
            connection.close()
        if process is None:
            return 0
        if kill:
            process.kill()
        try:
            exit_code = process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            exit_code = process.wait()
        if process.stdin is not None:
            process.stdin.close()
        return exit_code


_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""A child keeps to one core. It keeps the memory of one item for the next (glibc): to give it back and to take it again
was measured to cost a third of the time of decoding."""


def _import_path() -> list[str]:
    """What this process can import, the child can."""
    return list(dict.fromkeys(os.path.abspath(entry) for entry in sys.path))
