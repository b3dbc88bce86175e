"""A store as one HTML file to look at and listen to, without Ray and without the model."""

import itertools
import math
import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from jobs.base import Job
from jobs.evaluate_job import EvaluateJob
from jobs.evaluation import evaluation
from jobs.failures import SHOWN_GROUPS, group_failures
from jobs.recorded import recorded_job, recorded_manifest
from jobs.recordings import RecordingsJob
from jobs.set_evaluation import set_columns, set_metrics
from jobs.spec_error import SpecError, as_spec_error, choose
from jobs.summary import format_bytes
from pipeline.pending import find_done
from pipeline.planned import Plan
from pipeline.progress import Progress, Silent, format_duration
from pipeline.quarantine import read_quarantine
from pipeline.report.channels import draw_channels
from pipeline.report.fields import Fields, sort_fields
from pipeline.report.numbers import summarise_numbers
from pipeline.report.page import Contents, render
from pipeline.report.recordings import ORIGINAL, Recordings
from pipeline.report.rows import read_rows
from pipeline.report.selection import Ranking, default_ranking, is_lower_better, select_units
from pipeline.report.shown_map import show_map
from pipeline.report.shown_units import show_units
from pipeline.saved_plan import find_plan
from pipeline.store import location
from pipeline.store.index import list_parts
from pipeline.store.reader import LatentStore
from pipeline.store.schema import DURATION_SECONDS, ROW_DIGEST
from workers.audio.mel_spec import MelSpec
from workers.files import absolute, is_writable

MAX_SOUND_BYTES = 24_000_000
"""Bound on the FLAC in a page; a browser takes a third more, as text."""
CACHE_BYTES = 256 << 20
"""Bound on decoded columns that are kept; a part's sounds, read for one unit, would fill any larger one."""
MAX_SPEC_LINES = 200
MAX_COMPARED = 10_000
"""Units that a page compares with one another for `kad`, which takes a minute; a run does so with any number."""
_OWN_FOLDERS = (location.DATA, location.PLAN, location.QUARANTINE)
BEST = ("highest", "lowest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A page that was written."""

    file: str
    num_bytes: int
    contents: Contents

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        c = self.contents
        numbers = {summary.number.name: summary.as_json() for group in c.groups for summary in group.summaries}
        return {
            "file": self.file,
            "num_bytes": self.num_bytes,
            "num_units": c.rows.num_units,
            "num_rows": len(c.rows.rows),
            "ranked_by": None if c.ranking is None else c.ranking.column,
            "shown": {role: [unit.sample_id for unit in c.shown if unit.role == role] for role in _ROLES},
            "num_mapped": 0 if c.map is None else len(c.map.ids),
            "coloured_by": None if c.colouring is None else c.colouring.column,
            "num_map_sounds": c.num_map_sounds,
            "numbers": numbers,
        }


_ROLES = ("best", "worst", "sample")


def write_report(
    store: str,
    to: str | None = None,
    *,
    by: str | None = None,
    best: str | None = None,
    colour_by: str | None = None,
    num_shown: int = 3,
    num_rows: int = 2000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Writes a store's page, replacing the one that is there.

    Args:
        store: Any store, finished or not.
        to: The file, or a URI of one; `<name of the store>-report.html` in the working directory if none.
        by: The number column that says which units are best; one that suits the store if none.
        best: Which end of it is best, `highest` or `lowest`; told by its name if none.
        colour_by: The metadata column that colours the map; one that tells units apart if none.
        num_shown: How many of the best units, of the worst, and of the others.
        num_rows: Rows of the table, at most.
        seed: Of all samples.
        progress: Hears how far it is.

    Raises:
        SpecError: There is no such store or column, or the file cannot be there.
    """
    manifest = recorded_manifest(store)
    progress = progress or Silent()
    file = _file(store, to)
    opened, plan = LatentStore(store, cache_bytes=CACHE_BYTES), find_plan(store)
    carried = () if plan is None else tuple(name for name in plan.schema.names if not name.startswith("_"))
    fields = sort_fields(opened.schema, carried)
    ranking = _ranking(store, fields, by, best)
    if colour_by is not None and colour_by not in fields.metadata:
        raise SpecError(
            f"--colour-by: {choose(colour_by, fields.metadata) if fields.metadata else _no_metadata(store)}"
        )
    progress.phase("reading numbers", f"{len(fields.numbers)} column(s)")
    groups = summarise_numbers(opened, fields)
    progress.phase("choosing and reading units")
    can_be_shown = bool(fields.sounds or fields.numbers)  # the map shows what other stores hold
    selection = select_units(opened, ranking, count=num_shown if can_be_shown else 0, seed=seed)
    job = _job(store)
    mel = getattr(job, "mel", None)
    recordings = _recordings(plan, job)
    decimals = {summary.number.name: summary.decimals for group in groups for summary in group.summaries}
    shown = show_units(
        opened,
        fields,
        selection,
        decimals=decimals,
        mel=mel if isinstance(mel, MelSpec) else None,
        recordings=recordings,
        max_bytes=MAX_SOUND_BYTES,
    )
    rows = read_rows(opened, fields, always=selection.ids, count=num_rows, seed=seed)
    progress.phase("laying out the map")
    mapped = show_map(opened, fields, recordings, colour_by=colour_by, seed=seed)
    failures = [group.as_json() for group in group_failures(read_quarantine(store))]
    statistics = opened.statistics
    contents = Contents(
        name=PurePosixPath(absolute(store)).name or store,
        kind=manifest.kind,
        state=_state(store, plan, manifest.state),
        totals=(*_totals(store, opened, sum(failure["num_units"] for failure in failures)), *_sets(opened, job)),
        digest=manifest.content_digest,
        environment=tuple(sorted(manifest.environment.items())),
        spec=_spec(store),
        columns=_columns(opened),
        created=f"{manifest.created:%Y-%m-%d %H:%M} UTC",
        updated=f"{manifest.updated:%Y-%m-%d %H:%M} UTC",
        seed=seed,
        groups=groups,
        ranking=ranking,
        shown=shown,
        rows=rows,
        channels=draw_channels(statistics, fields.tensors),
        scale_factor=statistics.scale_factor,
        failures=tuple(failures[:SHOWN_GROUPS]),
        num_more_failures=max(0, len(failures) - SHOWN_GROUPS),
        **mapped,
    )
    num_bytes = location.atomic_write(file, render(contents).encode(), durable=False)
    return Report(file=file, num_bytes=num_bytes, contents=contents)


def describe_report(report: Report) -> str:
    """A line or two for a person."""
    c = report.contents
    lines = [f"{report.file}: {c.rows.num_units:,} units, {format_bytes(report.num_bytes)}; open it in a browser"]
    if c.ranking is not None:
        end = "lowest" if c.ranking.lower_is_better else "highest"
        lines.append(f"  best is the {end} {c.ranking.column} (--by, --best)")
    if c.map_note and c.map is not None:
        lines.append(f"  {c.map_note}")
    return "\n".join(lines)


def _file(store: str, to: str | None) -> str:
    with as_spec_error():
        place = absolute(store)
        file = absolute(f"{PurePosixPath(place).name or 'store'}-report.html" if to is None else to)
    if not is_writable(file):
        raise SpecError(f"--to {to}: can only be read; give a local file, or a URI of an object store")
    if not file.lower().endswith((".html", ".htm")):
        raise SpecError(f"--to {to}: expected a file that ends in .html, such as {file.rstrip('/')}/report.html")
    real, own = _real(file), [_real(location.join(place, name)) for name in _OWN_FOLDERS]
    for folder in own:
        if real.startswith(folder.rstrip("/") + "/"):
            raise SpecError(f"--to {file}: lies in {folder}, which is for the store's own files; put it elsewhere")
    if location.is_local(file) and os.path.isdir(file):
        raise SpecError(f"--to {file}: is a folder; give a file, such as {os.path.join(file, 'report.html')}")
    return file


def _real(path: str) -> str:
    return os.path.realpath(path) if location.is_local(path) else path


def _ranking(store: str, fields: Fields, by: str | None, best: str | None) -> Ranking | None:
    if best is not None and best not in BEST:
        raise SpecError(f"--best: {choose(best, BEST)}")
    names = [number.name for number in fields.numbers]
    if by is not None and by not in names:
        allowed = choose(by, names) if names else f"{store} holds no numbers that its job made; leave it out"
        raise SpecError(f"--by: {allowed}")
    column = by or default_ranking(fields)
    if column is None:
        return None
    return Ranking(column=column, lower_is_better=is_lower_better(column) if best is None else best == "lowest")


def _no_metadata(store: str) -> str:
    return f"{store} carries no metadata; leave it out, or make the store from a manifest with such a column"


def _job(store: str) -> Job | None:
    """The job, where it can be read: a page can do without."""
    try:
        return recorded_job(store)
    except SpecError:
        return None


def _recordings(plan: Plan | None, job: Job | None) -> Recordings | None:
    """Where the units came from, if the store says how to read it."""
    if plan is None or job is None or "_path" not in plan.schema.names:
        return None
    names: tuple[str, ...]
    try:
        inputs = job.inputs()
    except (OSError, ValueError):  # it is a store that cannot be read now
        return None
    if isinstance(job, EvaluateJob):
        names, rate = (ORIGINAL, "candidate"), job.sample_rate
    elif isinstance(job, RecordingsJob) and inputs.decodes:
        names, rate = (ORIGINAL,), job.sample_rate
    else:
        return None
    return Recordings(plan, inputs, names=names, sample_rate=rate, limits=job.limits.of_decoding)


def _state(store: str, plan: Plan | None, state: str) -> str:
    if plan is None:
        return f"{state}; its plan is missing"
    pending = plan.num_rows - int(find_done(store, plan).of(plan).sum())
    if not pending:
        return state if state == "complete" else f"{state}; all units are made"
    stopped = "not complete" if state == "complete" else state
    return f"{stopped}; {pending:,} of {plan.num_rows:,} units are still to be made"


def _totals(store: str, opened: LatentStore, num_failed: int) -> tuple[tuple[str, str, bool], ...]:
    column = opened.select([DURATION_SECONDS])[DURATION_SECONDS] if len(opened) else pa.chunked_array([], pa.float64())
    seconds = math.fsum(itertools.chain.from_iterable(chunk.to_pylist() for chunk in column.chunks))
    return (
        ("Units", f"{len(opened):,}", False),
        ("Audio", format_duration(seconds), False),
        ("Size", format_bytes(sum(list_parts(store).values())), False),
        ("Quarantined", f"{num_failed:,}", num_failed > 0),
    )


def _sets(opened: LatentStore, job: Job | None) -> tuple[tuple[str, str, bool], ...]:
    """What all clips of an evaluation say together."""
    if not isinstance(job, EvaluateJob) or not len(opened) or not {*set_columns(job.metrics)} <= {*opened.columns}:
        return ()
    metrics = [name for name in set_metrics(job.metrics) if name != "kad" or len(opened) <= MAX_COMPARED]
    found = evaluation(opened, metrics, seed=job.seed, allow_few=job.allow_few)
    return tuple((one.metric, one.status if one.value is None else f"{one.value:.5g}", False) for one in found.sets)


def _spec(store: str) -> str:
    path = location.join(store, location.JOB)
    if not location.exists(path):
        return ""
    lines = location.read_bytes(path).decode(errors="replace").splitlines()
    more = len(lines) - MAX_SPEC_LINES
    return "\n".join(lines[:MAX_SPEC_LINES] + ([f"… and {more:,} more lines"] if more > 0 else []))


def _columns(opened: LatentStore) -> tuple[tuple[str, str], ...]:
    described = []
    for field in opened.schema:
        if field.name != ROW_DIGEST:
            text = (field.metadata or {}).get(b"description", b"from the source's metadata").decode()
            described.append((field.name, text))
    return tuple(described)
