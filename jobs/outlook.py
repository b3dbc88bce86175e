"""The dry run: what a job would do, said before anything is decoded or written."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.compute as pc

from jobs.base import Job
from jobs.begin import check_store
from jobs.prepare import Prepared, prepare
from jobs.room import bytes_to_write
from jobs.spec_error import as_spec_error
from jobs.summary import format_bytes
from pipeline.changes import Kind
from pipeline.cluster import find_resources
from pipeline.pending import find_done
from pipeline.progress import Progress, Silent, format_duration
from pipeline.store import location
from pipeline.store.schema import tensor_columns

SHOWN_ERRORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a job would do."""

    store: str
    num_items: int
    items: str
    """What those are: files or prompts."""
    ignored: Counter[str]
    num_units: int
    num_stored: int
    num_quarantined: int
    num_pending: int
    changes: list[Kind]
    """What became of the source since the last run; empty if nothing or if there was none."""
    audio_seconds: float
    """Audio in all units; overlaps count twice, padding not at all."""
    pending_audio_seconds: float
    pending_bytes: int
    """Tensor bytes still to be written."""
    tensors: dict[str, tuple[list[int], str]]
    """Shape and dtype of what each unit gives."""
    errors: list[tuple[str, str]]
    """Files that cannot be read, with the reason."""
    warnings: list[str]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["changes"] = [asdict(kind) for kind in self.changes]
        return values | {"tensors": {name: {"shape": s, "dtype": d} for name, (s, d) in self.tensors.items()}}


def look_ahead(job: Job, progress: Progress | None = None) -> Outlook:
    """Prepares `job` as a run would, and compares with what its store holds.

    Raises:
        SpecError: the spec does not fit the model, the source, the machine, or the store.
    """
    with as_spec_error():
        progress = progress or Silent()
        progress.phase("looking at the machine")
        resources = find_resources()
        prepared = prepare(job, resources, progress)
        warnings = []
        if location.exists(location.join(prepared.job.output, location.MANIFEST)):
            try:
                check_store(prepared, prune=False)
            except ValueError as error:
                warnings.append(str(error))
    return _outlook(prepared, warnings)


def _outlook(prepared: Prepared, warnings: list[str]) -> Outlook:
    plan, store = prepared.plan, prepared.job.output
    changes = prepared.changes
    done = find_done(store, plan)
    pending = plan.filter(~done.of(plan) | plan.named(changes.changed))
    errors = prepared.probes.filter(pc.is_valid(prepared.probes["error"])).select(["item", "error"])
    num_bytes = bytes_to_write(prepared, pending)
    free = location.free_bytes(store)
    if free is not None and num_bytes > free:
        warnings = [*warnings, f"output: {format_bytes(num_bytes)} to write but {format_bytes(free)} free at {store}"]
    return Outlook(
        store=store,
        num_items=prepared.num_items,
        items=prepared.job.inputs().noun,
        ignored=prepared.ignored,
        num_units=plan.num_rows,
        num_stored=done.num_stored(plan),
        num_quarantined=len(done.quarantined),
        num_pending=pending.num_rows,
        changes=changes.kinds() if location.exists(location.join(store, location.MANIFEST)) else [],
        audio_seconds=plan.audio_seconds,
        pending_audio_seconds=pending.audio_seconds,
        pending_bytes=num_bytes,
        tensors={
            column.name: (list(column.shape), column.dtype) for column in tensor_columns(prepared.schema).values()
        },
        errors=[(row["item"], row["error"]) for row in errors.to_pylist()],
        warnings=warnings,
        notes=prepared.notes,
    )


def describe_outlook(outlook: Outlook) -> str:
    """A screen of text for a person."""
    length = format_duration(outlook.audio_seconds)
    lines = [f"{outlook.num_items:,} {outlook.items} → {outlook.num_units:,} units, {length} of audio"]
    if outlook.ignored:
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in outlook.ignored.most_common(6))
        lines.append(f"  not media  {kinds}")
    for name, (shape, dtype) in outlook.tensors.items():
        lines.append(f"  gives      {name} {shape or 'of varying shape'} {dtype}")
    lines.append(f"  stored     {outlook.num_stored:,}")
    if outlook.num_quarantined:
        lines.append(f"  failed     {outlook.num_quarantined:,} in an earlier run")
    lines += _describe_changes(outlook.changes)
    lines.append(
        f"  to do      {outlook.num_pending:,}:"
        f" {format_duration(outlook.pending_audio_seconds)} of audio, {format_bytes(outlook.pending_bytes)} to write"
    )
    if outlook.errors:
        lines.append(f"  unreadable {len(outlook.errors):,} file(s):")
        lines += [f"    {item}: {error}" for item, error in outlook.errors[:SHOWN_ERRORS]]
        if len(outlook.errors) > SHOWN_ERRORS:
            lines.append(f"    … and {len(outlook.errors) - SHOWN_ERRORS:,} more (--json lists all)")
    lines += [f"note: {note}" for note in outlook.notes]
    lines += [f"warning: {warning}" for warning in outlook.warnings]
    return "\n".join(lines)


def _describe_changes(kinds: list[Kind]) -> list[str]:
    lines = ["  since the last run:"] if kinds else []
    for kind in kinds:
        more = ", …" if kind.count > len(kind.examples) else ""
        names = f" ({', '.join(kind.examples)}{more})" if kind.examples else ""
        lines.append(f"    {kind.name:<11}{kind.count:,}{names}: {kind.what}")
    return lines
