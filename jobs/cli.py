"""The command line. Torch and Ray are imported where they are needed, so that help and spec errors come at once."""

import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.base import absolute
from jobs.load import job_kinds, load_job
from jobs.spec_error import SpecError, as_spec_error

if TYPE_CHECKING:
    from jobs.base import Job
    from pipeline.progress import Progress

app = typer.Typer(
    name="latentmill",
    help="Turn audio and video collections into training-ready Parquet stores.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="A YAML file, or a recipe that comes with latentmill.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field, such as source.path=sounds. Repeatable."),
]
StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="A store's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


class Exit(IntEnum):
    """Exit codes."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BUDGET_EXCEEDED = 3
    INTERRUPTED = 130


@app.command()
def run(
    spec: SpecArgument,
    overrides: SetOption = None,
    prune: Annotated[bool, typer.Option("--prune", help="Take out units that the source no longer gives.")] = False,
    retry_quarantined: Annotated[
        bool, typer.Option("--retry-quarantined", help="Try units again that failed in earlier runs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a job, or resume it.

    What the store already holds is kept; whatever stops a run, the same command goes on from there.
    """
    job = load_job(spec, overrides or [])
    from jobs.run import run_job
    from jobs.summary import describe_summary

    with _interruptible(), _on_screen(job, as_json) as progress:
        try:
            summary = run_job(job, progress, prune=prune, retry_quarantined=retry_quarantined)
        except KeyboardInterrupt:
            command = shlex.join(["latentmill", "run", spec, *(f"--set={text}" for text in overrides or [])])
            progress.note(f"interrupted; everything committed is kept. To go on:\n  {command}")
            raise
    typer.echo(json.dumps(summary.as_json(), indent=2) if as_json else describe_summary(summary))
    if summary.budget_exceeded:
        raise typer.Exit(Exit.BUDGET_EXCEEDED)


@app.command()
def plan(spec: SpecArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Show what a run would do; writes nothing.

    Units, hours of audio, bytes to be written, what changed since the last run, files that cannot be read, warnings.
    """
    job = load_job(spec, overrides or [])
    from rich.console import Console

    from jobs.outlook import describe_outlook, look_ahead
    from pipeline.progress import LiveProgress

    with _interruptible(), LiveProgress(Console(stderr=True)) as progress:
        outlook = look_ahead(job, progress)
    typer.echo(json.dumps(outlook.as_json(), indent=2) if as_json else describe_outlook(outlook))


@app.command()
def status(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Show how far a store is."""
    from jobs.inspect_store import describe_status, store_status

    found = store_status(str(store))
    typer.echo(json.dumps(found, indent=2) if as_json else describe_status(found))


@app.command()
def show(store: StoreArgument, sample_id: Annotated[str, typer.Argument()], as_json: JsonOption = False) -> None:
    """Show one unit, or why it failed."""
    from jobs.inspect_store import describe_unit, unit_facts

    found = unit_facts(str(store), sample_id)
    typer.echo(json.dumps(found, indent=2, default=str) if as_json else describe_unit(found))


@app.command()
def schema(kind: Annotated[str | None, typer.Argument(metavar="[KIND]")] = None) -> None:
    """Print the JSON Schema of job specs.

    Of all kinds when KIND is left out. Editors use it to complete and check spec files.
    """
    from jobs.schema import job_schema

    typer.echo(json.dumps(job_schema(job_kinds(), kind), indent=2))


def main() -> None:
    """Runs the command line and exits with the codes of `Exit`."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except SpecError as error:
        typer.echo(f"latentmill: {error}", err=True)
        sys.exit(Exit.USAGE)
    except Exception as error:  # noqa: BLE001 (the last place that can say anything)
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", []))
        typer.echo(f"latentmill: {type(error).__name__}: {error}{notes}", err=True)
        sys.exit(Exit.FAILED)


@contextmanager
def _on_screen(job: "Job", quiet: bool) -> "Iterator[Progress]":
    """Shows progress, and sends everything else that is said meanwhile to a log beside the store's data."""
    from rich.console import Console

    from pipeline.chatter import chatter_to
    from pipeline.progress import LiveProgress, PlainProgress, Silent
    from pipeline.store.location import LOGS

    with as_spec_error():
        log = Path(absolute(job.output), LOGS, f"{datetime.now(UTC):%Y%m%d-%H%M%S}.log")
    there = next(folder for folder in log.parents if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise SpecError(f"output: cannot write to {job.output}: {there} is read-only, or no folder")
    with chatter_to(log) as terminal:
        try:
            if quiet:
                yield Silent()
            elif terminal.isatty():
                with LiveProgress(Console(file=terminal)) as live:
                    yield live
            else:
                yield PlainProgress(terminal)
        except SpecError:
            raise
        except Exception as error:
            traceback.print_exc()
            error.add_note(f"details: {log}")
            raise


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM stop what is below in the same way, and exit with 130."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
