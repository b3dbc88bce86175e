"""Ctrl-C and SIGTERM: stop in order and soon, say how to go on, and leave no process behind."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

INTERRUPTED = 130
STOP_SECONDS = 20.0
"""Stopping takes a second or two. Where it hangs for so long, this process and all that it started are killed: the
store needs no farewell."""

NOTHING = 0
"""No signal's number: the pipe's way to say that there will be none."""


@contextmanager
def interruptible(resume: str = "") -> Iterator[None]:
    """Has both signals raise KeyboardInterrupt in what is below, once, and then exits with 130.

    A second signal is heard but changes nothing: it would break off the stopping, and leave processes behind.

    Args:
        resume: the command that goes on, to be told; none if empty.

    Raises:
        typer.Exit: it was interrupted.
    """
    stopping = threading.Event()

    def interrupt(*_: object) -> None:
        if not stopping.is_set():
            stopping.set()
            raise KeyboardInterrupt

    terminal = os.dup(2)  # what is below may point standard error elsewhere
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _impatience(terminal, resume):
            yield
    except KeyboardInterrupt:
        _say(terminal, resume)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(terminal)


@contextmanager
def _impatience(terminal: int, resume: str) -> Iterator[None]:
    """Watches the stopping from a thread.

    The thread hears of a signal through a pipe, at once; the handler has to wait until the main thread comes back from
    whatever library it is in, and some never do.
    """
    heard, signalled = os.pipe()
    os.set_blocking(signalled, False)
    done = threading.Event()

    def watch() -> None:
        while (number := os.read(heard, 1)[0]) not in (signal.SIGINT, signal.SIGTERM, NOTHING):
            pass
        if number != NOTHING and not done.wait(STOP_SECONDS):
            _say(terminal, resume)
            _kill_all()

    watcher = threading.Thread(target=watch, name="interrupt", daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    try:
        yield
    finally:
        done.set()
        signal.set_wakeup_fd(before)
        with suppress(BlockingIOError):  # full of signals
            os.write(signalled, bytes([NOTHING]))
        watcher.join()
        os.close(heard)
        os.close(signalled)


def _say(terminal: int, resume: str) -> None:
    if resume:
        with suppress(OSError):  # the terminal may be gone, and the signal be for that
            os.write(terminal, f"interrupted; everything committed is kept. To go on:\n  {resume}\n".encode())


def _kill_all() -> None:
    """Ends this process and everything that it started, at once."""
    for process in _descendants(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os._exit(INTERRUPTED)


def _descendants(ancestor: int) -> list[int]:
    """Process ids of all that a process started, and of what those started."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, waiting = [], [ancestor]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found += mine
        waiting += mine
    return found
