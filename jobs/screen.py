"""What a terminal shows while a command works; what draws it is imported then, so that help comes at once."""

import os
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from jobs.base import Job, output_path
from jobs.spec_error import SpecError, as_spec_error

if TYPE_CHECKING:
    from pipeline.progress import Progress


@contextmanager
def on_screen(job: Job, quiet: bool) -> "Iterator[Progress]":
    """Shows progress, and sends everything else that is said meanwhile to a log beside the store's data."""
    from rich.console import Console

    from jobs.log_place import log_file
    from pipeline.chatter import chatter_to
    from pipeline.progress import LiveProgress, PlainProgress, Silent
    from pipeline.store import location

    with as_spec_error():
        store = output_path(job.output)
    log, beside = log_file(store), location.is_local(store)
    there = next(folder for folder in log.parents if os.path.exists(folder))  # as far as one may look
    what = f"output: cannot write to {job.output}" if beside else f"cannot write the log {log}; set XDG_STATE_HOME"
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise SpecError(f"{what}: {there} is read-only, or no folder")
    with ExitStack() as stack:
        try:
            terminal = stack.enter_context(chatter_to(log))
        except OSError as error:
            raise SpecError(f"{what}: {error}") from error
        progress: Progress
        if quiet:
            progress = Silent()
        elif terminal.isatty():
            progress = stack.enter_context(LiveProgress(Console(file=terminal)))
        else:
            progress = PlainProgress(terminal)
        if not beside:
            progress.note(f"the log of this run is {log}")
        try:
            yield progress
        except SpecError:
            raise
        except Exception as error:
            with suppress(OSError):  # the log is where the store is, and may be what cannot be written
                traceback.print_exc()
                error.add_note(f"details: {log}")
            raise


@contextmanager
def at_work() -> "Iterator[Progress]":
    """Shows on a terminal what is going on, beside the answer that goes to stdout."""
    from rich.console import Console

    from pipeline.progress import LiveProgress

    with LiveProgress(Console(stderr=True)) as progress:
        yield progress
