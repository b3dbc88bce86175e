"""Keeps what Ray and its processes say out of the terminal: it goes to a log file instead."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


@contextmanager
def chatter_to(log: Path) -> Iterator[TextIO]:
    """Sends everything written to standard output and error, by this process and the ones it starts, to `log`.

    Gives a stream that still reaches the real standard output, for what a person is meant to see. A log in which
    nothing was said is removed again, with the folders that were made for it if nothing else is in them.
    """
    made = [folder for folder in (log.parent, *log.parent.parents) if not folder.exists()]
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    saved = os.dup(1), os.dup(2)
    streams = sys.stdout, sys.stderr
    with log.open("a", encoding="utf-8", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        try:
            yield terminal
        finally:
            terminal.flush()
            sys.stdout, sys.stderr = streams
            for descriptor, original in enumerate(saved, start=1):
                os.dup2(original, descriptor)
                os.close(original)
            _remove_if_empty(log, made)
    terminal.close()


def _remove_if_empty(log: Path, folders: list[Path]) -> None:
    if log.exists() and not log.stat().st_size:
        log.unlink()
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
