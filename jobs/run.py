"""The runner: a job → a finished store, from wherever an earlier run stopped."""

import contextlib
from functools import partial
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc

from jobs.base import Job
from jobs.begin import begin_store, check_store
from jobs.prepare import Prepared, prepare
from jobs.spec_error import as_spec_error
from jobs.summary import Summary
from pipeline.cluster import Resources, find_resources, ray_cluster
from pipeline.commit import Receipt
from pipeline.decode import decode_block
from pipeline.finish import finish
from pipeline.graph import Stages
from pipeline.passes import run_passes
from pipeline.pending import pending_units
from pipeline.placement import Placement, resolve_placement
from pipeline.progress import Progress, Silent
from pipeline.quarantine import quarantined_ids
from pipeline.store.manifest import save_manifest


def run_job(
    job: Job, progress: Progress | None = None, *, prune: bool = False, retry_quarantined: bool = False
) -> Summary:
    """Runs or resumes a job.

    A running Ray is used if there is one (in this process, or by RAY_ADDRESS); otherwise a local one is started for as
    long as the job takes. Whatever stops this function, everything committed so far stays, and the same call goes on.

    Args:
        job: what to do.
        progress: hears what happens; nothing is printed without it.
        prune: take stored units out that the source no longer gives; without it, such a source is refused.
        retry_quarantined: try units again that failed in earlier runs.

    Raises:
        SpecError: the spec does not fit the model, the source, the machine, or what the store already holds.
        PassError: every unit failed for one reason outside of itself.
    """
    progress = progress or Silent()
    started = monotonic()
    progress.phase("looking at the machine")
    resources = find_resources()
    with as_spec_error():
        prepared = prepare(job, resources, progress)
        store, plan = prepared.job.output, prepared.plan
        manifest = check_store(prepared, prune=prune)
        placement = _place(prepared, resources, plan.num_rows)
    for note in prepared.notes:
        progress.note(note)
    manifest = begin_store(prepared, manifest, prune=prune, retry_quarantined=retry_quarantined)
    pending = pending_units(plan, store)
    num_kept = plan.num_rows - pending.num_rows - len(quarantined_ids(store))
    progress.start(plan.num_rows, plan.num_rows - pending.num_rows)
    if manifest.state != "complete":
        try:
            if pending.num_rows:
                progress.note(f"placement: {placement.describe()}")
                _make(prepared, placement, resources, progress)
            progress.phase("checking that every unit is there once, and writing the index")
            manifest = finish(store, plan, manifest)
        except BaseException:
            with contextlib.suppress(OSError):
                save_manifest(store, manifest.revise(state="interrupted"))
            raise
    failed = quarantined_ids(store).cast(pa.string())
    made = pending.filter(pc.invert(pc.is_in(pending["sample_id"], value_set=failed)))
    return Summary(
        store=store,
        manifest=manifest,
        notes=prepared.notes,
        num_units=plan.num_rows,
        example=plan["sample_id"][0].as_py(),
        num_new=made.num_rows,
        num_kept=num_kept,
        new_audio_seconds=pc.sum(made["duration_seconds"]).as_py() or 0.0,
        seconds=monotonic() - started,
        budget_exceeded=prepared.job.limits.exceeded_by(manifest.totals.num_quarantined, plan.num_rows),
    )


def _place(prepared: Prepared, resources: Resources, num_units: int) -> Placement:
    return resolve_placement(
        prepared.job.placement,
        cpus=resources.cpus,
        gpus=resources.gpus if prepared.job.device_kind == "cuda" else 0,
        num_units=num_units,
        unit_bytes=prepared.unit_bytes,
        stored_bytes=prepared.stored_bytes,
        microbatch=prepared.job.microbatch,
    )


def _make(prepared: Prepared, placement: Placement, resources: Resources, progress: Progress) -> None:
    work = prepared.work
    stages = Stages(
        decode=partial(decode_block, spec=work.decode),
        load_worker=work.load_worker,
        worker=work.worker,
        schema=prepared.schema,
        variable_length=work.variable_length,
    )

    def on_pass(number: int, count: int) -> None:
        first = "starting the actors and loading the model, then the first block"
        progress.phase(first if number == 1 else f"trying {count:,} units again in smaller blocks")

    def on_receipt(receipt: Receipt) -> None:
        progress.phase("running")
        progress.receipt(receipt)

    progress.phase("starting Ray")
    with ray_cluster(resources):
        run_passes(prepared.plan, prepared.job.output, stages, placement, on_pass=on_pass, on_receipt=on_receipt)
