"""The command line. Torch and Ray are imported where they are needed, so that help and spec errors come at once."""

import json
import shlex
import sys
from enum import IntEnum
from typing import Annotated

import typer

from jobs.interrupt import interruptible
from jobs.load import job_kinds, load_job
from jobs.screen import at_work, on_screen
from jobs.spec_error import SpecError

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
StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="A store's folder or URI.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


class Exit(IntEnum):
    """Exit codes."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BUDGET_EXCEEDED = 3
    DIFFERENT = 4
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
    changes = [f"--set={text}" for text in overrides or []] + ["--prune"] * prune
    changes += ["--retry-quarantined"] * retry_quarantined
    with interruptible(resume=shlex.join(["latentmill", "run", spec, *changes])):
        from jobs.run import run_job
        from jobs.summary import describe_summary

        with on_screen(job, as_json) as progress:
            summary = run_job(job, progress, prune=prune, retry_quarantined=retry_quarantined)
    typer.echo(json.dumps(summary.as_json(), indent=2) if as_json else describe_summary(summary))
    if summary.budget_exceeded:
        raise typer.Exit(Exit.BUDGET_EXCEEDED)


@app.command()
def plan(spec: SpecArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Show what a run would do; writes nothing.

    Units, hours of audio, bytes to be written, what changed since the last run, files that cannot be read, warnings.
    """
    job = load_job(spec, overrides or [])
    from jobs.outlook import describe_outlook, look_ahead

    with interruptible(), at_work() as progress:
        outlook = look_ahead(job, progress)
    typer.echo(json.dumps(outlook.as_json(), indent=2) if as_json else describe_outlook(outlook))


@app.command()
def status(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Show how far a store is."""
    from jobs.inspect_store import describe_status, store_status

    found = store_status(store)
    typer.echo(json.dumps(found, indent=2) if as_json else describe_status(found))


@app.command()
def show(store: StoreArgument, sample_id: Annotated[str, typer.Argument()], as_json: JsonOption = False) -> None:
    """Show one unit, or why it failed."""
    from jobs.inspect_store import describe_unit, unit_facts

    found = unit_facts(store, sample_id)
    typer.echo(json.dumps(found, indent=2, default=str) if as_json else describe_unit(found))


@app.command()
def verify(
    store: StoreArgument,
    recompute: Annotated[
        float | None,
        typer.Option("--recompute", metavar="FRACTION", help="Also make this share of the units again, such as 0.01."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the units to make again.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Check every file, row and unit of a store; changes nothing.

    Exits with 4 if anything is not as it was written. Neither the source nor the model is needed, but for --recompute.
    """
    from jobs.verify import verify_store
    from jobs.verify_report import describe_verification

    with interruptible(), at_work() as progress:
        found = verify_store(store, progress, fraction=recompute, seed=seed)
    typer.echo(json.dumps(found.as_json(), indent=2) if as_json else describe_verification(found))
    _exit_if_different(not found.sound)


@app.command()
def replay(store: StoreArgument, sample_id: Annotated[str, typer.Argument()], as_json: JsonOption = False) -> None:
    """Make one unit of a store again, and compare.

    Exits with 4 if it comes out otherwise. A unit in quarantine is tried, and its outcome said.
    """
    from jobs.replay import describe_replay, replay_unit

    with interruptible(), at_work() as progress:
        progress.phase("loading the model and making the unit")
        found = replay_unit(store, sample_id)
    typer.echo(json.dumps(found.as_json(), indent=2) if as_json else describe_replay(found))
    _exit_if_different(not found.equal)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="STORE_A")],
    second: Annotated[str, typer.Argument(metavar="STORE_B")],
    limit: Annotated[int, typer.Option(min=0, help="Compare the values of so many of the rows that differ.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Compare two stores: spec, environment, units, rows and values.

    Exits with 4 if their units or contents differ.
    """
    from jobs.diff import describe_difference, diff_stores

    with interruptible(), at_work() as progress:
        found = diff_stores(first, second, progress, limit=limit)
    typer.echo(json.dumps(found.as_json(), indent=2, default=str) if as_json else describe_difference(found))
    _exit_if_different(not found.equal)


@app.command()
def export(
    store: StoreArgument,
    folder: Annotated[str, typer.Option("--to", metavar="DIR", help="Where to; made where it is missing.")],
    name: Annotated[
        str,
        typer.Option(
            metavar="PATTERN",
            help="Names of the files, without extension, such as '{category}/{prompt:.40}-{variation}'. A field is a "
            "column with one value per unit, {column} (which sound) or {variation} (the number behind # in the id).",
        ),
    ] = "{column}/{sample_id}",
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Only units of that value, such as verdict=accepted. Repeatable: all columns must agree, "
            "each with any of its values.",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", help="Only these sounds of each unit, such as vocoder. Repeatable.")
    ] = None,
    as_wav: Annotated[bool, typer.Option("--wav", help="16-bit WAV in place of FLAC.")] = False,
) -> None:
    """Write the sounds of a store to files, DIR/COLUMN/SAMPLE_ID.flac, and a table of them, DIR/index.csv.

    The table has a row per file: its path, the unit's id, and all columns with one value per unit. Where PATTERN does
    not name {column} and there are several sounds, each has a folder. What file systems do not take becomes _ in names.
    """
    from jobs.export import export_store
    from jobs.summary import format_bytes

    with interruptible(), at_work() as progress:
        done = export_store(
            store,
            folder,
            name=name,
            only=only or (),
            columns=columns or (),
            file_format="wav" if as_wav else "flac",
            progress=progress,
        )
    written = f"{done.num_files:,} files ({', '.join(done.columns)}), {format_bytes(done.num_bytes)}"
    typer.echo(f"{written}, and index.csv, in {done.folder}")


@app.command()
def report(
    store: StoreArgument,
    file: Annotated[str | None, typer.Option("--to", metavar="FILE.html", help="[default: STORE-report.html]")] = None,
    by: Annotated[str | None, typer.Option(metavar="COLUMN", help="Rank units by this number.")] = None,
    best: Annotated[str | None, typer.Option(metavar="highest|lowest", help="Which end of it is best.")] = None,
    colour_by: Annotated[str | None, typer.Option(metavar="COLUMN", help="Colour the map by this metadata.")] = None,
    units: Annotated[int, typer.Option(min=0, max=20, help="How many of the best, the worst and others to play.")] = 3,
    rows: Annotated[int, typer.Option(min=0, max=100_000, help="Rows of the table, at most.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of every sample.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML file to look at and listen to: numbers, sounds, a map of latents, units, failures."""
    from jobs.report import describe_report, write_report

    chosen = {"by": by, "best": best, "colour_by": colour_by}
    with interruptible(), at_work() as progress:
        done = write_report(store, file, **chosen, num_shown=units, num_rows=rows, seed=seed, progress=progress)
    typer.echo(json.dumps(done.as_json(), indent=2) if as_json else describe_report(done))


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


def _exit_if_different(different: bool) -> None:
    if different:
        raise typer.Exit(Exit.DIFFERENT)
