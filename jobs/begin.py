"""Beginning a store, or going on with one: all that is checked and written before the first pass."""

import os

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from jobs.base import RUNNING_FIELDS
from jobs.environment import environment
from jobs.identity import check_same_columns, check_same_job, recorded_spec
from jobs.prepare import Prepared, save_plan
from pipeline.decode import MAY_PASS
from pipeline.pending import in_both, pending_units
from pipeline.quarantine import quarantined_ids, read_quarantine, release
from pipeline.store import location
from pipeline.store.index import committed_ids, is_index_current
from pipeline.store.manifest import Manifest, load_manifest, save_manifest
from pipeline.store.removal import remove_units
from workers.files import is_uri

WHERE_IT_RUNS = frozenset({"output", "placement", "limits"})
"""Fields that a store's `job.yaml` keeps from its first run. Others, such as where its sources lie, follow the last."""

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
        if _names_in(store) <= {location.LOGS, location.CLAIM}:
            return None
        recorded = recorded_spec(store) or {}
        if {name: recorded[name] for name in recorded if name not in RUNNING_FIELDS} == prepared.job.content():
            return None  # only its manifest is lost: it is begun anew around the data that is there
        raise ValueError(f"output: {store} is not empty, and no store of this job ({error}); give another") from error
    check_same_job(prepared.job, prepared.work.facts, manifest)
    check_same_columns(store, manifest, prepared.schema)
    if not prune:
        for units, what in (
            (changes.unreadable, "whose file cannot be read now"),
            (changes.gone, "gone from the source"),
        ):
            lost = in_both(units, committed_ids(store)) if len(units) else units
            if len(lost):
                raise ValueError(
                    f"source: {len(lost):,} stored unit(s) are of recordings {what}, such as {lost[0].as_py()!r};"
                    " bring the files back, or run with --prune to take these units out of the store"
                )
    return manifest


def begin_store(prepared: Prepared, manifest: Manifest | None, *, prune: bool, retry_quarantined: bool) -> Manifest:
    """Writes manifest and spec, takes out what no longer counts, then writes the plan.

    The manifest comes first, so that a kill on the way leaves a folder that is known for an unfinished store, and the
    plan last, so that it leaves the change of the source to be found again.

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
    recorded, spec = recorded_spec(store), prepared.job.model_dump(mode="json")
    followed = spec.keys() - WHERE_IT_RUNS
    if recorded is None or any(recorded.get(name) != spec[name] for name in followed):
        text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
        location.atomic_write(location.join(store, location.JOB), text.encode())
    outdated = _outdated(prepared, prune=prune)
    again = quarantined_ids(store) if retry_quarantined else _available_again(prepared)
    if len(outdated) or len(again) or not _is_as_finished(store, manifest):
        manifest = _running(store, manifest)
    if len(outdated):
        remove_units(store, outdated)
    release(store, pa.concat_arrays([outdated.cast(again.type), again]))
    save_plan(prepared)
    if manifest.state != "running" and pending_units(prepared.plan, store).num_rows:
        manifest = _running(store, manifest)
    return manifest


def _running(store: str, manifest: Manifest) -> Manifest:
    """The manifest with that state, saved."""
    running = manifest.revise(state="running")
    save_manifest(store, running)
    return running


def _is_as_finished(store: str, manifest: Manifest) -> bool:
    """Whether the job was complete, and nobody has added, removed or replaced files since."""
    complete = manifest.state == "complete" and is_index_current(store)
    return complete and manifest.totals.num_quarantined == len(quarantined_ids(store))


def _available_again(prepared: Prepared) -> pa.Array:
    """Quarantined units whose file, or whose store, was not there when it was read, and may be there now."""
    table = read_quarantine(prepared.job.output)
    away = table.filter(pc.is_in(table["error_type"], value_set=pa.array(sorted(MAY_PASS))))["sample_id"]
    units = prepared.plan.filter(prepared.plan.named(away.combine_chunks().cast(pa.large_string())))
    rows = zip(units["sample_id"].to_pylist(), units["_path"].to_pylist(), strict=True)
    return pa.array([name for name, path in rows if is_uri(path) or os.access(path, os.R_OK)], pa.large_string())


def _names_in(store: str) -> set[str]:
    # a claim that was half-written is left out
    return {name for name in location.list_names(store) if not name.startswith(f".{location.CLAIM}.")}


def _outdated(prepared: Prepared, *, prune: bool) -> pa.Array:
    """Units to take out. Of those that the source no longer gives, failures go without asking."""
    changes, store = prepared.changes, prepared.job.output
    lost = pa.concat_arrays([changes.unreadable, changes.gone])
    if not prune and len(lost):
        lost = in_both(lost, quarantined_ids(store))
    return pa.concat_arrays([changes.changed, lost])
