"""Job → plan: everything that is settled before anything is decoded. Used by `run` and by the dry run `plan`."""

from collections import Counter
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.base import DeviceKind, Job, Work
from jobs.identity import identity
from pipeline.changes import Changes, find_changes
from pipeline.plan import PlanSettings, build_plan
from pipeline.probe import probe_items
from pipeline.progress import Progress
from pipeline.source import list_source
from pipeline.store import location
from pipeline.store.part import read_part_table
from pipeline.store.schema import store_schema

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
    changes: Changes | None
    """What became of the source since the store was last run; None for a new store."""
    num_items: int
    ignored: Counter[str]
    """Files of the source folder that are not media, by extension."""
    notes: tuple[str, ...]
    """Choices made for the user, one sentence each."""

    @property
    def unit_bytes(self) -> int:
        """Bytes of the largest unit once it is decoded."""
        if not self.plan.num_rows:
            return 0
        sizes = zip(self.plan["bucket_samples"].to_numpy(), self.plan["bucket_channels"].to_numpy(), strict=True)
        return max(4 * int(samples) * int(channels) for samples, channels in set(sizes))


def prepare(job: Job, device: DeviceKind, progress: Progress) -> Prepared:
    """Lists and probes the source and cuts it into units.

    Args:
        job: as the user gave it.
        device: what the model will run on.
        progress: hears what is being waited for.

    Raises:
        ValueError: the model or the source as a whole cannot be used.
    """
    job, notes = job.at_absolute_paths().resolved(device)
    progress.phase("reading the model's configuration and hashing its weights")
    try:
        work = job.work(device)
    except ValueError as error:
        raise ValueError(f"model: {error}") from error
    progress.phase("listing the source")
    listing = list_source(job.source)
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
    old_plan = _load(job.output, UNITS)
    channels = int(plan["bucket_channels"][0].as_py())
    outputs = work.worker.outputs(settings.padded_samples, channels)
    return Prepared(
        job=job,
        work=work,
        identity=identity(job, work.facts),
        plan=plan,
        probes=probes,
        schema=store_schema(outputs, listing.metadata, variable_length=work.variable_length),
        changes=None if old_plan is None or known is None else find_changes(old_plan, known, plan, probes),
        num_items=num_items,
        ignored=listing.ignored,
        notes=notes,
    )


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
    path = location.join(store, location.PLAN, name)
    return read_part_table(path) if location.exists(path) else None
