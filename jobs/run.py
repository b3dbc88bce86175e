"""The runner: a job → a finished store, from wherever an earlier run stopped."""

import platform
from functools import partial
from importlib.metadata import version
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from jobs.base import DeviceKind, Job
from jobs.identity import check_same_columns, check_same_job
from jobs.prepare import Prepared, prepare, save_plan
from jobs.spec_error import as_spec_error
from jobs.summary import Summary
from pipeline.cluster import Resources, find_resources, ray_cluster
from pipeline.commit import Receipt
from pipeline.decode import decode_block
from pipeline.finish import finish
from pipeline.graph import Stages
from pipeline.passes import pending_units, run_passes
from pipeline.placement import Placement, resolve_placement
from pipeline.progress import Progress, Silent
from pipeline.quarantine import quarantined_ids, release
from pipeline.store import location
from pipeline.store.manifest import Manifest, load_manifest, save_manifest
from pipeline.store.removal import remove_units

ENVIRONMENT_PACKAGES = ("latentmill", "torch", "torchaudio", "ray", "pyarrow", "numpy", "soundfile", "av", "soxr")


def run_job(job: Job, progress: Progress | None = None) -> Summary:
    """Runs or resumes a job.

    A running Ray is used if there is one (in this process, or by RAY_ADDRESS); otherwise a local one is started for as
    long as the job takes. Whatever stops this function, everything committed so far stays, and the same call goes on.

    Args:
        job: what to do.
        progress: hears what happens; nothing is printed without it.

    Raises:
        SpecError: the spec does not fit the model, the source, the machine, or what the store already holds.
        PassError: every unit failed for one reason outside of itself.
    """
    progress = progress or Silent()
    started = monotonic()
    progress.phase("looking at the machine")
    resources = find_resources()
    with as_spec_error():
        prepared = prepare(job, job_device(job, resources), progress)
        manifest = _open_store(prepared, progress)
        pending = pending_units(prepared.plan, prepared.job.output)
        placement = _place(prepared, resources, pending.num_rows)
    job, plan, store = prepared.job, prepared.plan, prepared.job.output
    for note in prepared.notes:
        progress.note(note)
    num_kept = plan.num_rows - pending.num_rows - len(quarantined_ids(store))
    progress.start(plan.num_rows, plan.num_rows - pending.num_rows)
    try:
        if pending.num_rows:
            progress.note(f"placement: {placement.describe()}")
            _make(prepared, placement, resources, progress)
        progress.phase("checking that every unit is there once, and writing the index")
        manifest = finish(store, plan, manifest)
    except BaseException:
        save_manifest(store, manifest.revise(state="interrupted"))
        raise
    totals = manifest.totals
    failed = quarantined_ids(store)
    made = pending.filter(pc.invert(pc.is_in(pending["sample_id"], value_set=failed.cast(pa.string()))))
    return Summary(
        store=store,
        manifest=manifest,
        num_units=plan.num_rows,
        example=plan["sample_id"][0].as_py(),
        num_new=totals.num_units - num_kept,
        num_kept=num_kept,
        new_audio_seconds=pc.sum(made["duration_seconds"]).as_py() or 0.0,
        seconds=monotonic() - started,
        budget_exceeded=job.limits.exceeded_by(totals.num_quarantined, plan.num_rows),
    )


def job_device(job: Job, resources: Resources) -> DeviceKind:
    """What the job's model runs on: a GPU where there is one and the spec does not refuse it."""
    return "cuda" if resources.gpus >= 1 and job.placement.gpus_per_actor != 0 else "cpu"


def _place(prepared: Prepared, resources: Resources, num_pending: int) -> Placement:
    return resolve_placement(
        prepared.job.placement,
        cpus=resources.cpus,
        gpus=resources.gpus,
        num_units=num_pending,
        unit_bytes=prepared.unit_bytes,
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


def _follow_source(prepared: Prepared, progress: Progress) -> None:
    """Takes out what the source no longer has, or has otherwise, so that it is made anew.

    Only then is the new plan saved: a kill on the way leaves the change to be found again.
    """
    changes, store = prepared.changes, prepared.job.output
    if changes is None or not changes.describe():
        return
    progress.note(changes.describe())
    outdated = [*changes.changed, *changes.gone]
    if outdated:
        remove_units(store, outdated)
        release(store, outdated)


def _open_store(prepared: Prepared, progress: Progress) -> Manifest:
    """Begins a store or goes on with one of the same identity; writes its plan, spec and manifest."""
    store = prepared.job.output
    if location.exists(location.join(store, location.MANIFEST)):
        manifest = load_manifest(store)
        check_same_job(prepared.job, prepared.work.facts, manifest)
        check_same_columns(store, manifest, prepared.schema)
        _follow_source(prepared, progress)
        manifest = manifest.revise(state="running")
    else:
        if location.exists(location.join(store, location.DATA)):
            raise ValueError(f"output: {store} holds data but no manifest.json; give another folder")
        manifest = Manifest.start(
            kind=prepared.job.kind,
            identity=prepared.identity,
            schema=prepared.schema,
            environment=environment() | prepared.work.facts,
        )
    spec = yaml.safe_dump(prepared.job.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    location.atomic_write(location.join(store, location.JOB), spec.encode())
    save_plan(prepared)
    save_manifest(store, manifest)
    return manifest


def environment() -> dict[str, str]:
    """Versions and platform that the content is made with."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{package: version(package) for package in ENVIRONMENT_PACKAGES},
    }
