"""One driver at a time: a claim on a store, kept alive by a heartbeat.

    claim.json    who holds the store: token, host, process, user, command, since, refreshed

A holder on this machine lives as long as its process does. One on another machine lives as long as it refreshes its
claim; when it was silent for `STALE_SECONDS`, and stays so while one watches (clocks of machines differ), its claim is
taken over. A driver whose claim was taken over, because its machine slept or was cut off, finds another token when it
wants to refresh, and stops.

On a local disk claims are made one after the other under a lock of the folder. Object stores have none: there the last
writer wins, and everybody looks after a moment who that was. So two drivers may both believe for a moment that they
hold a store; nothing is lost then, since they would write the same files.
"""

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

from pydantic import ValidationError

from pipeline.holder import Holder
from pipeline.store import location
from workers.files.uri import is_uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient claims are."""

    refresh_seconds: float = 20.0
    stale_seconds: float = 90.0
    """A holder on another machine that was silent for so long is taken for dead,"""
    watch_seconds: float = 30.0
    """if it stays so for this long."""
    settle_seconds: float = 2.0
    """What two writers of one object need to see which of them came last."""
    tick_seconds: float = 1.0
    """How soon a machine that slept notices."""


class ClaimError(ValueError):
    """Somebody else holds the store; the message says who, since when, and how to go on."""


class ClaimLostError(RuntimeError):
    """The claim on the store was lost while the job ran; the message says to whom."""


class Claim:
    """A claim that is held, until `release`."""

    def __init__(self, store: str, holder: Holder, made: list[str], timing: Timing) -> None:
        self._store = store
        self._holder = holder
        self._made = made
        self._timing = timing
        self._stop = threading.Event()
        self._refreshed = time.monotonic(), time.time()
        self._on_lost: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._keep, name="claim", daemon=True)
        self.lost = ""
        """Why the claim is not held any more."""

    @classmethod
    def take(cls, store: str, *, timing: Timing | None = None, on_wait: Callable[[str], None] | None = None) -> Self:
        """Claims a store.

        Args:
            store: its folder or URI; a folder is made.
            timing: for tests.
            on_wait: called with a sentence before a wait of some seconds.

        Raises:
            ClaimError: somebody else holds it.
            OSError: the store cannot be written.
        """
        timing = timing or Timing()
        mine, made = Holder.this_process(), _make_folder(store)
        try:
            _acquire(store, mine, timing, on_wait or (lambda _: None))
        except BaseException:
            _remove_empty(made)
            raise
        claim = cls(store, mine, made, timing)
        claim._thread.start()
        return claim

    def when_lost(self, act: Callable[[], None]) -> None:
        """Has `act` called, in another thread, if the claim is lost."""
        self._on_lost = act

    def check(self) -> None:
        """Asks whether the claim is still held, as far as is known; costs nothing.

        Raises:
            ClaimLostError: it is not.
        """
        if self.lost:
            raise ClaimLostError(self.lost)

    def release(self) -> None:
        """Gives the store free, if it is still ours; folders that were made for it and stayed empty go."""
        self._stop.set()
        self._thread.join()
        with suppress(OSError), _folder_lock(self._store):
            holder = read_holder(self._store)
            if holder is not None and holder.token == self._holder.token:
                location.remove(location.join(self._store, location.CLAIM))
            _remove_empty(self._made)

    def _keep(self) -> None:
        """Refreshes the claim until it is released or lost."""
        while not self._stop.wait(self._timing.tick_seconds):
            # Both clocks: one stands still while the machine sleeps, the other may be set back.
            silent = max(time.monotonic() - self._refreshed[0], time.time() - self._refreshed[1])
            if silent < self._timing.refresh_seconds:
                continue
            try:
                problem = self._refresh()
                self._refreshed = time.monotonic(), time.time()
            except (OSError, ValueError) as error:
                if silent < self._timing.stale_seconds:
                    continue  # a full disk or a network that is away for a moment
                problem = f"it could not be refreshed for {silent:.0f} s ({error})"
            if problem:
                self.lost = f"{self._store}: this run lost its claim on the store: {problem}; nothing more is written"
                self._on_lost()
                return

    def _refresh(self) -> str:
        """Says that this process lives; gives what is in the way of that, if something is."""
        with _folder_lock(self._store):
            holder = read_holder(self._store)
            if holder is None:
                return f"its {location.CLAIM} is gone, as if the output had been removed or moved"
            if holder.token != self._holder.token:
                return f"it was taken over by {holder.describe()}"
            _write(self._store, self._holder.refresh())
        return ""


@contextmanager
def claimed(
    store: str, *, on_wait: Callable[[str], None] | None = None, timing: Timing | None = None
) -> Iterator[Claim]:
    """Holds a store for as long as the block runs; one that is lost meanwhile ends the block.

    Raises:
        ClaimError: somebody else holds the store.
        ClaimLostError: the claim was lost on the way. In the main thread the block is interrupted for it at once.
        OSError: the store cannot be written.
    """
    claim = Claim.take(store, timing=timing, on_wait=on_wait)
    try:
        if threading.current_thread() is threading.main_thread():
            main = threading.get_ident()
            claim.when_lost(lambda: signal.pthread_kill(main, signal.SIGINT))
        yield claim
        claim.check()
    except KeyboardInterrupt:
        claim.check()
        raise
    finally:
        claim.release()


def read_holder(store: str) -> Holder | None:
    """Who claims the store, dead or alive; None if nobody does.

    Raises:
        ValueError: what is there is not a claim; the message says what to do.
    """
    path = location.join(store, location.CLAIM)
    try:
        content = location.read_bytes(path)
    except FileNotFoundError:
        return None
    try:
        return Holder.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"{path} is no claim of latentmill; if no run is going on there, delete it") from error


def _acquire(store: str, mine: Holder, timing: Timing, on_wait: Callable[[str], None]) -> None:
    watched: Holder | None = None
    while True:
        _make_folder(store)  # a run that was refused may just have removed the one that it had made
        with _folder_lock(store) as locked:
            holder = read_holder(store)
            if holder is None or _is_dead(holder, watched, timing):
                _write(store, mine)
                break
            if holder.lives() is not None or abs(holder.silent_seconds()) < timing.stale_seconds or watched:
                raise ClaimError(_refusal(store, holder))
        on_wait(f"watching whether {holder.describe()} still lives")
        watched = holder
        time.sleep(timing.watch_seconds)
    if not locked:
        time.sleep(timing.settle_seconds)
        holder = read_holder(store)
        if holder is not None and holder.token != mine.token:
            raise ClaimError(_refusal(store, holder))


def _is_dead(holder: Holder, watched: Holder | None, timing: Timing) -> bool:
    lives = holder.lives()
    if lives is not None:
        return not lives
    return holder == watched and abs(holder.silent_seconds()) >= timing.stale_seconds


def _refusal(store: str, holder: Holder) -> str:
    return (
        f"output: {store} is being written by {holder.describe()}. Wait for it, or stop it and run the same again;"
        " the claim of a run that died is taken over by itself"
    )


def _write(store: str, holder: Holder) -> None:
    location.atomic_write(location.join(store, location.CLAIM), holder.model_dump_json(indent=2).encode())


def _make_folder(store: str) -> list[str]:
    """Makes the store's folder; gives those that were missing, innermost first."""
    if is_uri(store):
        return []
    missing, folder = [], store
    while folder and not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    os.makedirs(store, exist_ok=True)
    return missing


def _remove_empty(folders: list[str]) -> None:
    with suppress(OSError):
        for folder in folders:
            os.rmdir(folder)


@contextmanager
def _folder_lock(store: str) -> Iterator[bool]:
    """Lets one process of this machine in at a time; gives whether it could, which no object store can."""
    descriptor = None if is_uri(store) else _lock(store)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child process that was forked meanwhile has the descriptor too
            os.close(descriptor)


def _lock(folder: str) -> int | None:
    """A descriptor that locks the folder until it is closed; None where its file system has no locks.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    while True:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if _is_same(descriptor, folder):
            return descriptor
        os.close(descriptor)  # somebody removed the folder meanwhile, and perhaps made it anew


def _is_same(descriptor: int, folder: str) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(folder))
    return False
