"""Job → plan: everything that is settled before anything is decoded. Used by `run` and by the dry run `plan`."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from jobs.base import Job, Work, output_path
from jobs.identity import identity, recorded_spec
from jobs.spec_error import SpecError, describe
from pipeline.changes import Changes, find_changes
from pipeline.cluster import Resources
from pipeline.inputs import Inputs, Looked
from pipeline.pending import find_done
from pipeline.plan import PAIR_COLUMNS, PROMPT_COLUMNS, SIDE_COLUMNS, UNIT_COLUMNS, PlanSettings, build_plan
from pipeline.planned import Plan
from pipeline.probe import PROBE_SCHEMA
from pipeline.progress import Progress
from pipeline.saved_plan import find_plan
from pipeline.saved_plan import save_plan as save_units
from pipeline.store import location
from pipeline.store.columns import column_bytes
from pipeline.store.part import DamagedPartError, read_part_table
from pipeline.store.schema import store_schema
from pipeline.store.seal import write_sealed
from workers.guarded.limits import GuardLimits

PROBES = "probes.parquet"
PLAN_LOST = (
    "the plan of the last run is lost or damaged, so that recordings that changed since then cannot be told;"
    " `latentmill verify STORE --recompute 1` finds them"
)
LISTED_LENGTHS = (
    "lengths come from source.duration_column and no header is read, so recordings that were replaced since the last"
    " run are not noticed; `latentmill verify STORE --recompute 1` finds them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A job with its plan."""

    job: Job
    """Resolved: nothing is left to the machine."""
    work: Work
    identity: str
    plan: Plan
    probes: pa.Table
    """Headers; none where the source says how long its items are."""
    made_from: dict[str, Any] | None
    """What the plan follows from, where that can be told without listing the source; see `pipeline.saved_plan`."""
    schema: pa.Schema
    """Of the store's parts."""
    changes: Changes
    """What became of the source since the store was last run."""
    num_items: int
    ignored: Counter[str]
    """Files of the source folder that are not media, by extension."""
    notes: tuple[str, ...]
    """Choices made for the user, one sentence each."""

    @property
    def unit_bytes(self) -> int:
        """Bytes of the largest unit once it is decoded."""
        return max(4 * samples * channels for samples, channels in self.plan.shapes)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the largest unit as it is stored; at most, where sounds are compressed."""
        return max(
            sum(column_bytes(column) for column in self.work.worker.outputs(samples, channels))
            for samples, channels in self.plan.shapes
        )


def prepare(job: Job, resources: Resources, progress: Progress) -> Prepared:
    """Lists and probes the source and cuts it into units; or, where nothing can have changed, reads the plan again.

    Args:
        job: as the user gave it.
        resources: what it will run on.
        progress: hears what is being waited for.

    Raises:
        ValueError: the model or the source as a whole cannot be used, or what the store holds is of another job.
    """
    job, notes = _as_begun(job).resolved(resources.gpus)
    progress.phase("reading the model's configuration and hashing its weights")
    try:
        work = job.work()
    except SpecError:
        raise
    except ValidationError as error:  # settings of the worker's that follow from the job's, each valid by itself
        raise SpecError("; ".join(describe(detail) for detail in error.errors(include_url=False))) from error
    except ValueError as error:
        raise ValueError(f"model: {error}") from error
    settings = PlanSettings(
        segment=work.segment,
        decode=work.decode,
        alignment_samples=work.alignment_samples,
        min_samples=work.min_samples,
        seed=job.seed,
        num_recordings=work.num_recordings,
        min_tail_samples=work.min_tail_samples,
    )
    progress.phase("listing the source")
    named = identity(job, work.facts)
    inputs = job.inputs()
    if inputs.decodes and settings.padded_samples != settings.length_samples:  # what is stored has its length
        notes += (_off_grid(settings),)
    source = inputs.fingerprint()
    made_from: dict[str, Any] | None = None if source is None else {"identity": named, "source": source}
    plan = None if made_from is None else find_plan(job.output, made_from)
    old_plan, old_probes = plan or find_plan(job.output), _load_probes(job.output)
    ignored: Counter[str] = Counter()
    if plan is not None:
        probes = None
    else:
        listing = inputs.listing()
        ignored, notes, items = listing.ignored, notes + listing.notes, listing.items
        del listing
        probes = None
        if not inputs.listed_lengths:
            looked = _probe(inputs, items, old_probes, progress, job.limits.of_decoding)
            if looked.refusal:
                raise SpecError(looked.refusal)
            items, probes, headers, notes = looked.items, looked.probes, looked.headers, notes + looked.notes
            del looked
        progress.phase(f"cutting {items.num_rows:,} items into units")
        plan = build_plan(items, probes, settings)
        del items
        probes = None if probes is None else pa.concat_tables([probes, headers])
    probes = PROBE_SCHEMA.empty_table() if probes is None else probes
    (_, channels), *_ = plan.shapes
    outputs = work.worker.outputs(settings.padded_samples, channels)
    own = {*UNIT_COLUMNS.names, *PAIR_COLUMNS, *PROMPT_COLUMNS, *SIDE_COLUMNS}
    metadata = pa.schema([field for field in plan.schema if field.name not in own])
    schema = store_schema(outputs, metadata, variable_length=work.variable_length)
    job.check_columns(schema)
    progress.phase("comparing with what is stored")
    done = find_done(job.output, plan)
    if any(map(len, done.seeds.values())):
        if inputs.listed_lengths:
            notes += (LISTED_LENGTHS,) if inputs.decodes else ()
        elif old_plan is None or old_probes is None:
            notes += (PLAN_LOST,)
    if plan is old_plan:
        changes = Changes(gone=done.outside(plan).cast(pa.string()))
    else:
        changes = find_changes(old_plan, old_probes, plan, probes, done)
    return Prepared(
        job=job,
        work=work,
        identity=named,
        plan=plan,
        probes=probes,
        made_from=made_from,
        schema=schema,
        changes=changes,
        num_items=plan.num_items,
        ignored=ignored,
        notes=notes,
    )


def _probe(inputs: Inputs, items: pa.Table, known: pa.Table | None, progress: Progress, limits: GuardLimits) -> Looked:
    seen = 0

    def probed(count: int) -> None:
        nonlocal seen
        seen += count
        progress.phase(f"reading the headers of {items.num_rows:,} {inputs.noun}", f"{seen:,} done")

    probed(0)
    return inputs.probe(items, known, probed, limits)


def _off_grid(settings: PlanSettings) -> str:
    rate, step = settings.decode.sample_rate, settings.alignment_samples
    below, above = settings.length_samples // step * step, settings.padded_samples
    choices = " or ".join(f"{samples / rate:g}" for samples in (below, above) if samples >= settings.min_samples)
    return (
        f"segment.length_seconds {settings.segment.length_seconds:g} is no multiple of the model's {step / rate:g} s:"
        f" every unit is padded to {above / rate:g} s; {choices} would need no padding"
    )


def _as_begun(job: Job) -> Job:
    """The job with what it leaves to the machine as its store was begun with, if it was."""
    begun = recorded_spec(output_path(job.output)) or {}
    left_open = [name for name in ("device", "precision") if getattr(job, name, None) == "auto" and name in begun]
    return job.model_copy(update={name: begun[name] for name in left_open})


def save_plan(prepared: Prepared) -> None:
    """Writes the plan, if it is another than the one that is there, and the headers that it was made from."""
    store = prepared.job.output
    probes = partial(write_sealed, prepared.probes, compression="zstd")
    location.atomic_write(location.join(store, location.PLAN, PROBES), probes)
    if prepared.made_from is None or find_plan(store, prepared.made_from) is None:
        save_units(store, prepared.plan, prepared.made_from)


def _load_probes(store: str) -> pa.Table | None:
    """The headers of the last run; None if they are missing or damaged, since they can be read again."""
    try:
        return read_part_table(location.join(store, location.PLAN, PROBES))
    except (FileNotFoundError, DamagedPartError):
        return None
