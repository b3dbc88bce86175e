"""What makes two jobs the same, and whether a spec may go on with a store that is already there."""

import hashlib
import json
from typing import Any

import pyarrow as pa
import yaml

from jobs.base import RUNNING_FIELDS, Job
from pipeline.store import location
from pipeline.store.manifest import Manifest, summarise_schema

IDENTITY_VERSION = 2
"""Part of every identity. Raised whenever the same spec would give other bytes than before."""


NOT_CONTENT = {
    "source": {"path"},
    "reference": {"path"},
    "candidate": {"path"},
    "mel": {"preset"},
    "model": {"weights", "revision", "allow_pickle", "text_encoder", "codec", "codec_revision"},
    "vocoder": {"weights", "revision", "allow_pickle", "file"},
    "embedding": {"weights", "revision", "allow_pickle"},
    "classifier": {"weights", "revision", "allow_pickle"},
    "clap": {"weights", "revision", "allow_pickle"},
}
"""Fields of the content half that do not decide content themselves: where files lie (the plan compares recordings, the
facts hold the digest of weights), and a name for values that are spelt out beside it."""

COUNTS = frozenset({"variations"})
"""Fields that only say how many units there are, which the plan knows: more of them go into the same store."""

ADDED = {
    "source": {"duration_column", "audio_column", "member_extension"},
    "gate": {"min_clap", "best_of", "best_by"},
    "model": {"custom_shape"},
}
"""Fields that specs did not have from the start. Unset, they are left out, so that older stores keep their identity."""

ADDED_ABOVE = {"embedding", "classifier", "clap", "text_column", "device", "microbatch"}
"""The same of whole sections, which `kind: evaluate` leaves unset where no metric needs them."""


class ChangedJobError(ValueError):
    """The store was made by another spec."""


def identity(job: Job, facts: dict[str, str]) -> str:
    """SHA-256, as hex, over what decides a store's content.

    Args:
        job: a resolved job.
        facts: of its `Work`.
    """
    given = {name: value for name, value in job.content().items() if name not in COUNTS}
    content = {name: value for name, value in given.items() if name not in ADDED_ABOVE or value is not None}
    for name in {*NOT_CONTENT, *ADDED}:
        if isinstance(content.get(name), dict):
            fields = NOT_CONTENT.get(name, set())
            unset = {key for key in ADDED.get(name, ()) if content[name].get(key) is None}
            content[name] = {key: value for key, value in content[name].items() if key not in fields | unset}
    canonical = {"version": IDENTITY_VERSION, "content": content, "facts": facts}
    return hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_same_job(job: Job, facts: dict[str, str], manifest: Manifest) -> None:
    """Refuses to mix two jobs in one store.

    Args:
        job: resolved, with the store as its output.
        facts: of its `Work`.
        manifest: the store's.

    Raises:
        ChangedJobError: the identity differs; the message lists each field that does.
    """
    if identity(job, facts) == manifest.identity:
        return
    store = job.output
    before = recorded_spec(store) or {}
    content = {key: value for key, value in before.items() if key not in RUNNING_FIELDS}
    changes = [f"  {name}: {_shown(old)} → {_shown(new)}" for name, old, new in differences(content, job.content())] + [
        f"  {name}: {_shown(manifest.environment.get(name))} → {_shown(value)}"
        for name, value in facts.items()
        if manifest.environment.get(name) != value
    ]
    listed = "\n".join(changes) or "  the version of latentmill's computations"
    raise ChangedJobError(
        f"output: {store} was made by another spec; what differs (there → here):\n{listed}\n"
        "Give another output, or the values that the store was made with"
    )


def check_same_columns(store: str, manifest: Manifest, schema: pa.Schema) -> None:
    """Refuses to add rows with other columns than the store has.

    Raises:
        ChangedJobError: the manifest of the source gained, lost or retyped columns.
    """
    before = {column.name: column.type for column in manifest.columns}
    after = {column.name: column.type for column in summarise_schema(schema)}
    changes = [
        f"  {name}: {_shown(before.get(name))} → {_shown(after.get(name))}"
        for name in [*before, *(name for name in after if name not in before)]
        if before.get(name) != after.get(name)
    ]
    if changes:
        raise ChangedJobError(
            f"output: the source's columns are not those of {store} (there → here):\n"
            + "\n".join(changes)
            + "\nGive another output, or the columns that the store was made with"
        )


def recorded_spec(store: str) -> dict[str, Any] | None:
    """The spec that a store was begun with, as plain values; None if there is none that can be read."""
    if not location.exists(location.join(store, location.MANIFEST)) and not location.exists(
        location.join(store, location.DATA)
    ):
        return None  # a job.yaml beside neither is somebody's own
    try:
        spec = yaml.safe_load(location.read_bytes(location.join(store, location.JOB)))
    except (OSError, yaml.YAMLError):
        return None
    return spec if isinstance(spec, dict) else None


def differences(before: Any, after: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """Fields in which two plain specs differ, as (dotted name, before, after)."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [(prefix, before, after)]
    found = []
    for key in [*before, *(key for key in after if key not in before)]:
        found += differences(before.get(key), after.get(key), f"{prefix}.{key}" if prefix else str(key))
    return found


def _shown(value: Any) -> str:
    return "(unset)" if value is None else str(value)
