"""Functions that real decoders' faults are reduced to. Children import them by name: `faulty:obey`."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LIBC = ctypes.CDLL(None)


def obey(items: Sequence[Any], log: str | None = None) -> Iterator[Any]:
    """Does what each item says; a number is given back as an array [1, 3] of it."""
    for item in items:
        if log is not None:
            with open(log, "a") as file:
                file.write(f"{item} {os.getpid()} {len(items)}\n")
        yield commit_fault(item) if isinstance(item, str) else np.full((1, 3), item, np.float32)


def commit_fault(fault: str) -> Any:
    """Each a way in which decoders have been seen to fail."""
    kind, _, detail = fault.partition(" ")
    if kind == "segfault":
        ctypes.string_at(8)
    if kind == "abort":
        os.abort()
    if kind == "exit":
        os._exit(int(detail))
    if kind == "sys.exit":
        sys.exit(3)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if kind == "loop":
        while True:
            pass
    if kind == "sleep":  # in C, all signals blocked that can be, as far as Python knows
        ctypes.PyDLL(None).sleep(10_000)  # holds the interpreter's lock
    if kind == "masked":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            LIBC.usleep(1_000_000)
    if kind == "numpy":
        return np.ones((1 << 20, 1 << 20))
    if kind == "hoard":
        hoard: list[Any] = []
        while True:
            hoard.append(np.ones(1 << 21))  # 16 MiB, touched
    if kind == "malloc":
        LIBC.malloc.restype = ctypes.c_void_p
        while True:  # C that does not look at what malloc gives
            ctypes.memset(LIBC.malloc(ctypes.c_size_t(1 << 24)), 1, 1 << 24)
    if kind == "once":  # and never again: what the machine may do to an innocent one
        if not Path(detail).exists():
            Path(detail).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "lived"
    if kind == "raise":
        raise ValueError(detail)
    if kind == "give":
        return ValueError(detail)
    if kind == "wide":
        return np.ones((2, 3), np.float32)
    if kind == "long":
        return np.ones((1, 4), np.float32)
    if kind == "pause":
        time.sleep(float(detail))
    return fault


def limits(items: Sequence[str]) -> Iterator[Any]:
    """What the child may use."""
    import resource

    for item in items:
        yield resource.getrlimit(getattr(resource, item))


def modules(items: Sequence[Any]) -> Iterator[Any]:
    """What the child has imported."""
    for _ in items:
        yield sorted(sys.modules)
