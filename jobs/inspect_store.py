"""Looking at a store from the command line, without Ray and without the job running."""

import os
import shlex
from typing import Any

import numpy as np
import pyarrow.compute as pc

from jobs.failures import FailureGroup, describe_failures, group_failures
from jobs.recorded import recorded_manifest
from jobs.spec_error import SpecError, as_spec_error
from jobs.summary import format_bytes
from pipeline.claim import read_holder
from pipeline.pending import find_done
from pipeline.progress import format_duration
from pipeline.quarantine import read_quarantine
from pipeline.saved_plan import open_plan
from pipeline.store import location
from pipeline.store.index import list_parts
from pipeline.store.reader import LatentStore
from pipeline.store.schema import audio_rates

_STATES = {
    "complete": "complete",
    "running": "not finished: a run is going on, or was killed (run the job again to go on)",
    "interrupted": "interrupted (run the job again to go on)",
}


def store_status(store: str) -> dict[str, Any]:
    """How far a store is, as plain values.

    Raises:
        SpecError: there is no store.
    """
    manifest = recorded_manifest(store)
    with as_spec_error():
        plan = open_plan(store)
    quarantine = read_quarantine(store)
    done = find_done(store, plan)
    parts = list_parts(store)
    return {
        "store": store,
        "kind": manifest.kind,
        "state": manifest.state,
        "num_units": plan.num_rows,
        "num_stored": done.num_stored(plan),
        "num_quarantined": quarantine.num_rows,
        "num_pending": plan.num_rows - int(done.of(plan).sum()),
        "audio_seconds": plan.filter(done.stored(plan)).audio_seconds,
        "num_parts": len(parts),
        "num_bytes": sum(parts.values()),
        "updated": manifest.updated.isoformat(),
        "content_digest": manifest.content_digest,
        "failures": [group.as_json() for group in group_failures(quarantine)],
        "holder": _holder(store),
    }


def _holder(store: str) -> str | None:
    """Who holds the store, in words, and what is known of him."""
    try:
        holder = read_holder(store)
    except ValueError as error:
        return str(error)
    if holder is None:
        return None
    silent = f"last heard of {format_duration(max(0.0, holder.silent_seconds()))} ago"
    known = {True: "at it now", False: "which is dead: the next run takes over", None: silent}[holder.lives()]
    return f"{holder.describe()}, {known}"


def describe_status(status: dict[str, Any]) -> str:
    """A screen of text for a person."""
    lost = status["state"] == "complete" and status["num_pending"]  # part files were taken away since
    lines = [
        f"{status['store']}: {status['kind']}, {_STATES['running' if lost else status['state']]}",
        f"  stored   {status['num_stored']:,} of {status['num_units']:,} units,"
        f" {format_duration(status['audio_seconds'])} of audio,"
        f" {format_bytes(status['num_bytes'])} in {status['num_parts']:,} file(s)",
    ]
    if status["num_pending"]:
        lines.append(f"  pending  {status['num_pending']:,}")
    if status["holder"]:
        lines.append(f"  held by  {status['holder']}")
    if status["content_digest"]:
        lines.append(f"  digest   {status['content_digest']}")
    if status["num_quarantined"]:
        lines.append(f"  failed   {status['num_quarantined']:,}")
        lines += describe_failures(FailureGroup(**failure) for failure in status["failures"])
        spec = os.path.join(status["store"], location.JOB)
        lines.append(f"  once mended: latentmill run {shlex.quote(spec)} --retry-quarantined")
    return "\n".join(lines)


def unit_facts(store: str, sample_id: str) -> dict[str, Any]:
    """One unit as plain values: its columns, with shape and range in place of each tensor's bytes.

    Raises:
        SpecError: there is no store, or no such unit in it.
    """
    recorded_manifest(store)
    opened = LatentStore(store)
    if sample_id not in opened:
        failed = read_quarantine(store)
        row = failed.filter(pc.equal(failed["sample_id"], sample_id)).to_pylist()
        if row:
            return {"sample_id": sample_id, "quarantined": True, **row[0]}
        ids = opened.ids
        near = ids.filter(pc.starts_with(ids, sample_id.partition("#")[0]))[:3].to_pylist() or ids[:3].to_pylist()
        raise SpecError(f"{store}: no unit {sample_id!r}; there are, for example: {', '.join(near)}")
    facts: dict[str, Any] = {}
    sounds = audio_rates(opened.schema)
    for name, value in opened.by_id(sample_id).items():
        if name in sounds:
            rate, channels = sounds[name]
            facts[name] = {"num_bytes": len(value["bytes"]), "sample_rate": rate, "num_channels": channels}
        else:
            facts[name] = _tensor_facts(value) if isinstance(value, np.ndarray) else value
    return facts


def describe_unit(facts: dict[str, Any]) -> str:
    """One line per column."""
    width = max(len(name) for name in facts)
    return "\n".join(f"{name:<{width}}  {_value(value)}" for name, value in facts.items())


def _value(value: Any) -> str:
    if isinstance(value, dict) and "shape" in value:
        return "{dtype} {shape}  min {min:.4g}  mean {mean:.4g}  max {max:.4g}  std {std:.4g}".format(**value)
    if isinstance(value, dict) and "sample_rate" in value:
        return "FLAC of {num_bytes:,} bytes  {sample_rate} Hz  {num_channels} channel(s)".format(**value)
    return value.hex() if isinstance(value, bytes) else str(value)


def _tensor_facts(tensor: np.ndarray[Any, np.dtype[Any]]) -> dict[str, Any]:
    values = tensor.astype(np.float64)
    return {
        "dtype": str(tensor.dtype),
        "shape": list(tensor.shape),
        "min": float(values.min()),
        "mean": float(values.mean()),
        "max": float(values.max()),
        "std": float(values.std()),
    }
