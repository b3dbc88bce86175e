"""Beginning a store, or going on with one: all that is checked and written before the first pass."""

import os

import yaml

from jobs.environment import environment
from jobs.identity import check_same_columns, check_same_job, recorded_spec
from jobs.prepare import Prepared, save_plan
from pipeline.pending import pending_units
from pipeline.quarantine import quarantined_ids, release
from pipeline.store import location
from pipeline.store.index import committed_ids
from pipeline.store.manifest import Manifest, load_manifest, save_manifest
from pipeline.store.removal import remove_units

ORPHAN_SECONDS = 3600.0
"""Temporaries of killed writers are swept up once they are this old."""


def check_store(prepared: Prepared, *, prune: bool) -> Manifest | None:
    """Looks whether the job may write to its output; changes nothing.

    Args:
        prepared: the job.
        prune: whether stored units may be removed that the source no longer gives.

    Returns:
        The manifest of the store that is there, None if there is none.

    Raises:
        ValueError: the output is not this job's, or results would be lost; the message says what to do.
    """
    store, changes = prepared.job.output, prepared.changes
    try:
        manifest = load_manifest(store)
    except (FileNotFoundError, ValueError) as error:
        if not os.path.isdir(store) or set(os.listdir(store)) <= {location.LOGS}:
            return None
        if recorded_spec(store) == prepared.job.model_dump(mode="json"):
            return None  # only its manifest is lost: it is begun anew around the data that is there
        raise ValueError(f"output: {store} is not empty, and no store of this job ({error}); give another") from error
    check_same_job(prepared.job, prepared.work.facts, manifest)
    check_same_columns(store, manifest, prepared.schema)
    if not prune:
        stored = set(committed_ids(store).to_pylist()) if changes.unreadable or changes.gone else set()
        for units, what in (
            (changes.unreadable, "whose file cannot be read now"),
            (changes.gone, "gone from the source"),
        ):
            lost = [name for name in units if name in stored]
            if lost:
                raise ValueError(
                    f"source: {len(lost):,} stored unit(s) are of recordings {what}, such as {lost[0]!r};"
                    " bring the files back, or run with --prune to take these units out of the store"
                )
    return manifest


def begin_store(prepared: Prepared, manifest: Manifest | None, *, prune: bool, retry_quarantined: bool) -> Manifest:
    """Writes manifest and spec, takes out what no longer counts, then writes the plan.

    The manifest comes first, so that a kill on the way leaves a folder that is known for a store, and the plan last, so
    that it leaves the change of the source to be found again.

    Args:
        prepared: the job.
        manifest: from `check_store`.
        prune: also take out units that the source no longer gives.
        retry_quarantined: try the quarantined units again.

    Returns:
        The manifest of the store. One that is complete already, with nothing left to do, is returned as it is.
    """
    store = prepared.job.output
    if manifest is None:
        facts = environment(prepared.job.device_kind) | prepared.work.facts
        manifest = Manifest.start(
            kind=prepared.job.kind, identity=prepared.identity, schema=prepared.schema, environment=facts
        )
        save_manifest(store, manifest)
    location.remove_temporaries(store, older_than_seconds=ORPHAN_SECONDS)
    if recorded_spec(store) is None:
        spec = yaml.safe_dump(prepared.job.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        location.atomic_write(location.join(store, location.JOB), spec.encode())
    outdated = _outdated(prepared, prune=prune)
    if outdated:
        remove_units(store, outdated)
        release(store, outdated)
    if retry_quarantined:
        release(store, quarantined_ids(store).to_pylist())
    save_plan(prepared)
    if manifest.state != "complete" or outdated or pending_units(prepared.plan, store).num_rows:
        manifest = manifest.revise(state="running")
        save_manifest(store, manifest)
    return manifest


def _outdated(prepared: Prepared, *, prune: bool) -> list[str]:
    """Units to take out. Of those that the source no longer gives, failures go without asking."""
    changes, store = prepared.changes, prepared.job.output
    lost = [*changes.unreadable, *changes.gone]
    if not prune and lost:
        quarantined = set(quarantined_ids(store).to_pylist())
        lost = [name for name in lost if name in quarantined]
    return [*changes.changed, *lost]
