"""The process that may die: `python -m workers.guarded.child`, started by `Guard` and not by hand.

It calls functions of the shape `function(items, **arguments) -> Iterator`, one result per item, and counts the results
in memory that it shares with its parent, which so knows how far it came. Before each item it sets an alarm whose action
is the kernel's: it kills this process even if the code that runs never comes back to Python, and even if the parent is
gone.
"""

import importlib
import mmap
import os
import re
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

import workers.media.decode
import workers.media.header  # noqa: F401 (what they import is there before memory is limited)
from workers.guarded.outcome import OUT_OF_MEMORY, Outcome, Placed, Raised, Value
from workers.guarded.shared_rows import Shape, as_rows

Function = Callable[..., Iterator[Any]]
Place = Callable[[int, Any], Outcome]
Target = tuple[int, Shape, Sequence[int]]
"""Number of the shared memory, shape of its rows, and the row of each item."""

SEND_SECONDS = 0.05
"""Results wait at most this long before they are sent. Of a child that dies, those not sent are made again."""


class Child:
    """Serves one parent until it hangs up."""

    def __init__(self, connection: Connection, progress: mmap.mmap, seconds: float) -> None:
        self._connection = connection
        self._progress = memoryview(progress).cast("q")
        self._seconds = seconds
        self._memory: dict[int, mmap.mmap] = {}
        self._unsent: list[Outcome] = []
        self._sent_at = 0.0

    def serve(self) -> None:
        """Answers requests; returns when the parent is gone."""
        while True:
            try:
                request, *arguments = self._connection.recv()
            except (EOFError, ConnectionError):
                return
            if request == "map":
                number, num_bytes = arguments
                self._memory[number] = self._map(num_bytes)
            elif request == "forget":
                del self._memory[arguments[0]]
            else:
                self._run(*arguments)

    def _map(self, num_bytes: int) -> mmap.mmap:
        with socket.socket(fileno=os.dup(self._connection.fileno())) as sock:
            _, [file], _, _ = socket.recv_fds(sock, 1, 1)
        memory = mmap.mmap(file, num_bytes)
        os.close(file)
        return memory

    def _run(self, name: str, items: Sequence[Any], target: Target | None, arguments: dict[str, Any]) -> None:
        try:
            function = _import(name)
        except Exception as error:  # noqa: BLE001 (told to the parent, which raises it)
            self._connection.send(f"{name} cannot be imported: {type(error).__name__}: {error}")
            return
        self._connection.send(None)
        self._sent_at = time.monotonic()
        place = self._placing(target)
        done = 0
        while done < len(items):
            done = self._run_until_error(function, items, done, place, arguments)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _run_until_error(
        self, function: Function, items: Sequence[Any], begin: int, place: Place, arguments: dict[str, Any]
    ) -> int:
        """Answers items from `begin` on until the function raises; where to go on, behind that one."""
        done = begin
        results: Any = None
        try:
            self._set_alarm()
            results = iter(function(items[begin:], **arguments))
            while done < len(items):
                self._set_alarm()
                result = next(results)
                outcome = _raised(result) if isinstance(result, Exception) else place(done, result)
                done += 1
                self._answer(outcome, done, done == len(items))
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 (whatever a decoder raises is a fact about this item)
            done += 1
            self._answer(_raised(error), done, done == len(items))
        finally:
            if isinstance(results, Generator):
                results.close()
        return done

    def _answer(self, outcome: Outcome, done: int, is_last: bool) -> None:
        """Notes an outcome; several go in one message, since waking the parent costs as much as many a result."""
        self._unsent.append(outcome)
        self._progress[0] = done
        now = time.monotonic()
        if is_last or now - self._sent_at > SEND_SECONDS:
            self._connection.send(self._unsent)
            self._unsent = []
            self._sent_at = now

    def _placing(self, target: Target | None) -> Place:
        """What is done with results: the function's n-th array goes into its row."""
        if target is None:
            return lambda _, result: Value(result)
        number, shape, slots = target
        rows = as_rows(self._memory[number], shape)

        def place(index: int, result: Any) -> Outcome:
            if not isinstance(result, np.ndarray):
                return Value(result)
            fits = result.ndim == 2 and len(result) == shape[1] and result.shape[1] <= shape[2]
            if fits:
                rows[slots[index], :, : result.shape[1]] = result
                rows[slots[index], :, result.shape[1] :] = 0
            return Placed(result.shape, fits)

        return place

    def _set_alarm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._seconds)


def _import(name: str) -> Function:
    module, _, function = name.partition(":")
    found: Function = getattr(importlib.import_module(module), function)
    return found


def _raised(error: Exception) -> Raised:
    return Raised(type(error).__name__, " ".join(str(error).split()))


def _prepare_signals() -> None:
    """A parent may have masked or ignored signals, and children inherit that; Ctrl-C is the parent's affair."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _limit_resources(memory_gib: float) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a folder of bad files must not become a disk full of dumps
    if sys.platform == "linux":
        with open("/proc/self/status") as status:
            used = int(re.findall(r"VmData:\s+(\d+) kB", status.read())[0]) << 10
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        limit = used + int(memory_gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if most < 0 else min(limit, most), most))


def _die_with_parent() -> None:
    """Standard input is a pipe that nobody writes to: it ends when the parent does, however that died.

    PR_SET_PDEATHSIG would not do alone: it also strikes when just the thread ends that started this process.
    """

    def wait() -> None:
        os.read(0, 1)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Runs with the arguments: descriptors of the connection and of the memory for the progress, seconds, GiB."""
    descriptor, progress, seconds, memory_gib = sys.argv[1:]
    _prepare_signals()
    _die_with_parent()
    _limit_resources(float(memory_gib))
    connection = Connection(int(descriptor))
    connection.send("ready")
    Child(connection, mmap.mmap(int(progress), mmap.PAGESIZE), float(seconds)).serve()


if __name__ == "__main__":
    main()
