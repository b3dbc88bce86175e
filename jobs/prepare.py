"""Job → plan: everything that is settled before anything is decoded. Used by `run` and by the dry run `plan`."""

from collections import Counter
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.base import Job, Work, absolute
from jobs.identity import identity, recorded_spec
from pipeline.changes import Changes, find_changes
from pipeline.cluster import Resources
from pipeline.pending import done_ids
from pipeline.plan import PlanSettings, build_plan
from pipeline.probe import probe_items
from pipeline.progress import Progress
from pipeline.source import list_source
from pipeline.store import location
from pipeline.store.part import DamagedPartError, read_part_table
from pipeline.store.schema import store_schema
from pipeline.store.tensors import tensor_bytes

UNITS = "units.parquet"
PROBES = "probes.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A job with its plan."""

    job: Job
    """Resolved: nothing is left to the machine."""
    work: Work
    identity: str
    plan: pa.Table
    probes: pa.Table
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
    def shapes(self) -> set[tuple[int, int]]:
        """Samples and channels of the decoded units."""
        shapes = self.plan.group_by(["_bucket_samples", "_bucket_channels"]).aggregate([])
        return set(zip(shapes["_bucket_samples"].to_pylist(), shapes["_bucket_channels"].to_pylist(), strict=True))

    @property
    def unit_bytes(self) -> int:
        """Bytes of the largest unit once it is decoded."""
        return max(4 * samples * channels for samples, channels in self.shapes)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the largest unit's tensors as they are stored."""
        return max(
            sum(tensor_bytes(column) for column in self.work.worker.outputs(samples, channels))
            for samples, channels in self.shapes
        )


def prepare(job: Job, resources: Resources, progress: Progress) -> Prepared:
    """Lists and probes the source and cuts it into units.

    Args:
        job: as the user gave it.
        resources: what it will run on.
        progress: hears what is being waited for.

    Raises:
        ValueError: the model or the source as a whole cannot be used, or what the store holds is of another job.
    """
    progress.phase("listing the source")
    job, notes = _as_begun(job).resolved(resources.gpus)
    listing = list_source(job.source)
    progress.phase("reading the model's configuration and hashing its weights")
    try:
        work = job.work()
    except ValueError as error:
        raise ValueError(f"model: {error}") from error
    num_items, seen = listing.items.num_rows, 0

    def probed(count: int) -> None:
        nonlocal seen
        seen += count
        progress.phase(f"reading the headers of {num_items:,} files", f"{seen:,} done")

    probed(0)
    known = _load(job.output, PROBES)
    probes = probe_items(listing.items, known, probed)
    settings = PlanSettings(
        segment=job.segment,
        decode=work.decode,
        alignment_samples=work.alignment_samples,
        min_samples=work.min_samples,
        seed=job.seed,
    )
    plan = build_plan(listing.items, probes, settings)
    channels = int(plan["_bucket_channels"][0].as_py())
    outputs = work.worker.outputs(settings.padded_samples, channels)
    if settings.padded_samples != settings.length_samples:
        notes += (_off_grid(settings),)
    return Prepared(
        job=job,
        work=work,
        identity=identity(job, work.facts),
        plan=plan,
        probes=probes,
        schema=store_schema(outputs, listing.metadata, variable_length=work.variable_length),
        changes=find_changes(_load(job.output, UNITS), known, plan, probes, done_ids(job.output)),
        num_items=num_items,
        ignored=listing.ignored,
        notes=notes,
    )


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
    begun = recorded_spec(absolute(job.output)) or {}
    left_open = [name for name in ("device", "precision") if getattr(job, name, None) == "auto" and name in begun]
    return job.model_copy(update={name: begun[name] for name in left_open})


def save_plan(prepared: Prepared) -> None:
    """Writes the plan and the probes that it was made from into the store."""
    for name, table in ((UNITS, prepared.plan), (PROBES, prepared.probes)):
        path = location.join(prepared.job.output, location.PLAN, name)
        location.atomic_write(path, partial(pq.write_table, table, compression="zstd"))


def load_plan(store: str) -> pa.Table:
    """The plan that the store was last run with.

    Raises:
        FileNotFoundError: there is none.
    """
    plan = _load(store, UNITS)
    if plan is None:
        raise FileNotFoundError(f"{store}: no {location.PLAN}/{UNITS}; run the job again to write it")
    return plan


def _load(store: str, name: str) -> pa.Table | None:
    """A file of the plan; None if it is missing or damaged, since it can be derived again."""
    try:
        return read_part_table(location.join(store, location.PLAN, name))
    except (FileNotFoundError, DamagedPartError):
        return None
