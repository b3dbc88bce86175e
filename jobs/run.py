"""The runner: a job → a finished store, from wherever an earlier run stopped."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from time import monotonic

from jobs.base import Findings, Job, output_path
from jobs.begin import begin_store, check_store
from jobs.failures import group_failures
from jobs.prepare import Prepared, prepare
from jobs.room import check_room, room_in_errors
from jobs.spec_error import SpecError, as_spec_error
from jobs.summary import Summary
from pipeline.claim import Claim, claimed
from pipeline.cluster import Resources, find_resources, ray_cluster
from pipeline.commit import Receipt
from pipeline.finish import finish
from pipeline.graph import Stages
from pipeline.passes import run_passes
from pipeline.pending import pending_units
from pipeline.placement import Placement, resolve_placement
from pipeline.progress import Progress, Silent
from pipeline.quarantine import quarantined_ids, read_quarantine
from pipeline.store import LatentStore, location
from pipeline.store.damaged import set_aside_damaged
from pipeline.store.manifest import load_manifest, save_manifest
from pipeline.torch_worker import TorchWorker


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
        SpecError: the spec does not fit the model, the source, the machine, or what the store already holds; or another
            run holds the store.
        PassError: every unit failed for one reason outside of itself, or the store cannot be written.
        ClaimLostError: another run took the store over, because this one was silent for too long.
    """
    progress, started = progress or Silent(), monotonic()
    with as_spec_error():
        store = output_path(job.output)
    with _claimed(store, progress) as claim:
        progress.phase("looking at the machine")
        with as_spec_error():
            resources = find_resources()
        if location.exists(location.join(store, location.MANIFEST)):
            for note in set_aside_damaged(store):
                progress.note(note)
        with as_spec_error():
            prepared = prepare(job, resources, progress)
            manifest = check_store(prepared, prune=prune)
            placement = _place(prepared, resources, prepared.plan.num_rows)
        for note in prepared.notes:
            progress.note(note)
        plan = prepared.plan
        with _interrupted_if_it_stops(store, claim), room_in_errors(prepared):
            manifest = begin_store(prepared, manifest, prune=prune, retry_quarantined=retry_quarantined)
            pending = pending_units(plan, store)
            num_kept = plan.num_rows - pending.num_rows - len(quarantined_ids(store))
            progress.start(plan.num_rows, plan.num_rows - pending.num_rows)
            if pending.num_rows:
                check_room(prepared, pending)
                progress.note(f"placement: {placement.describe()}")
                _make(prepared, placement, resources, progress, claim)
            if manifest.state != "complete":
                progress.phase("checking that every unit is there once, and writing the index")
                manifest = finish(store, plan, manifest)
        quarantine = read_quarantine(store)
    failed = quarantine["sample_id"]
    made = pending.filter(~pending.named(failed.combine_chunks()))
    return Summary(
        store=store,
        manifest=manifest,
        notes=prepared.notes,
        findings=prepared.job.findings(LatentStore(store)) if manifest.totals.num_units else Findings(),
        num_units=plan.num_rows,
        example=plan.slice(0, 1)["sample_id"][0].as_py(),
        num_new=made.num_rows,
        num_kept=num_kept,
        new_audio_seconds=made.audio_seconds,
        seconds=monotonic() - started,
        failures=group_failures(quarantine),
        budget_exceeded=prepared.job.limits.exceeded_by(manifest.totals.num_quarantined, plan.num_rows),
    )


@contextmanager
def _claimed(store: str, progress: Progress) -> Iterator[Claim]:
    """Holds the store, and refuses at once what could not be written anyway."""
    with ExitStack() as stack:
        try:
            with as_spec_error():
                claim = stack.enter_context(claimed(store, on_wait=progress.phase))
        except OSError as error:
            raise SpecError(f"output: cannot write to {store}: {error.strerror or error}") from error
        yield claim


@contextmanager
def _interrupted_if_it_stops(store: str, claim: Claim) -> Iterator[None]:
    """Has the manifest say that nobody is at it any more, whatever ends the block before the store is complete."""
    try:
        yield
    except BaseException:
        if not claim.lost:  # else the manifest is somebody else's now, or gone
            with suppress(OSError, ValueError):
                manifest = load_manifest(store)
                if manifest.state == "running":
                    save_manifest(store, manifest.revise(state="interrupted"))
        raise


def _place(prepared: Prepared, resources: Resources, num_units: int) -> Placement:
    return resolve_placement(
        prepared.job.placement,
        cpus=resources.cpus,
        gpus=resources.gpus if prepared.job.device_kind == "cuda" else 0,
        num_units=num_units,
        unit_bytes=prepared.unit_bytes,
        stored_bytes=prepared.stored_bytes,
        microbatch=prepared.work.worker.microbatch,
    )


def _make(prepared: Prepared, placement: Placement, resources: Resources, progress: Progress, claim: Claim) -> None:
    work, inputs = prepared.work, prepared.job.inputs()
    stages = Stages(
        decode=inputs.decoder(work.decode, prepared.job.limits.of_decoding),
        load_worker=partial(TorchWorker, work.load_worker),
        worker=work.worker,
        schema=prepared.schema,
        variable_length=work.variable_length,
        batch=inputs.batch,
        decodes=inputs.decodes,
    )

    def on_pass(number: int, count: int) -> None:
        first = "starting the actors and loading the model, then the first block"
        progress.phase(first if number == 1 else f"trying {count:,} units again in smaller blocks")

    def on_receipt(receipt: Receipt) -> None:
        claim.check()
        progress.phase("running")
        progress.receipt(receipt)

    progress.phase("starting Ray")
    with ray_cluster(resources):
        run_passes(
            prepared.plan,
            prepared.job.output,
            stages,
            placement,
            max_guilty=int(prepared.job.limits.max_failed_fraction * prepared.plan.num_rows),
            on_pass=on_pass,
            on_receipt=on_receipt,
        )
