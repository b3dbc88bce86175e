"""Readers of recordings that commit a fault at chosen ones. Children import them by name: `faulty_media:decode_units`.

What to do stands in the file's name (`segfault.wav`), or for single spans behind an `at` (`loop-at-2.wav`: the span
that starts in second 2). The environment may name a file FAULTY_MEDIA_LOG, which lists what is opened.
"""

import ctypes
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workers.audio.decode_spec import DecodeSpec
from workers.files import StorageUnavailableError
from workers.media import decode, header


def decode_units(
    units: Sequence[tuple[str, str | None, decode.Span]], *, spec: DecodeSpec, **options: Any
) -> Iterator[Any]:
    """Like the real one, which does the work where no fault is asked for."""
    real = decode.decode_units(units, spec=spec, **options)
    for (path, _, span), result in zip(units, real, strict=True):
        log(path)
        fault, _, second = Path(path).stem.partition("-at-")
        if not second or span.start_sample == int(second) * spec.sample_rate:
            commit(fault)
        yield result


def read_headers(items: Sequence[tuple[str, str | None]]) -> Iterator[Any]:
    """Likewise."""
    for (path, _), result in zip(items, header.read_headers(items), strict=True):
        log(path)
        commit(Path(path).stem)
        yield result


def commit(name: str) -> None:
    """The fault that a name begins with, if any."""
    match re.split(r"[-_]", name)[0]:
        case "segfault":
            ctypes.string_at(8)
        case "abort":
            os.abort()
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), 9)
        case "loop":
            while True:
                pass
        case "sleep":
            ctypes.PyDLL(None).sleep(10_000)  # in C, and it holds the interpreter's lock
        case "hoard":
            hoard = []
            while True:
                hoard.append(np.empty(1 << 21))  # untouched, or a busy machine is too slow for a limit of seconds
        case "raise":
            raise RuntimeError("no\ngood")
        case "unavailable":
            raise StorageUnavailableError("the store does not answer")
        case "slow":
            time.sleep(0.1)


def log(path: str) -> None:
    """Notes that a file is opened."""
    if name := os.environ.get("FAULTY_MEDIA_LOG"):
        with open(name, "a") as file:
            file.write(f"{path}\n")
