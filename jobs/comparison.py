"""Whether another `evaluate` store can be compared with, pair by pair."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.identity import differences
from jobs.recorded import recorded_facts, recorded_job, recorded_manifest
from jobs.spec_error import SpecError
from pipeline.store.reader import LatentStore
from workers.metrics.metric_names import DEFINITIONS

if TYPE_CHECKING:
    from jobs.evaluate_job import EvaluateJob

MAY_DIFFER = ("candidate", "metrics", "seed", "match_by", "group_by", "compare_with")
"""Fields in which the other store's spec may be another: what was made, and what was asked about it."""


def check_comparison(job: "EvaluateJob", path: str) -> None:
    """Looks whether equal ids mean equal pairs in both stores.

    Args:
        job: resolved.
        path: of the other store.

    Raises:
        SpecError: it is no finished store of this kind, scores the pairs in another way, or has other references.
    """
    manifest = recorded_manifest(path)
    if manifest.kind != job.kind or manifest.state != "complete":
        what = f"is {manifest.state}" if manifest.kind == job.kind else f"is a store of kind {manifest.kind}"
        raise SpecError(f"compare_with: {path} {what}; give a complete store of kind {job.kind}")
    differing = differences(_compared(recorded_job(path)), _compared(job))
    theirs = recorded_facts(manifest).get("metrics")
    if theirs != DEFINITIONS:
        differing.append(("definitions of the metrics", theirs, DEFINITIONS))
    if differing:
        listed = "\n".join(f"  {name}: {before} → {now}" for name, before, now in differing)
        raise SpecError(f"compare_with: {path} scores other pairs, or in another way (there → here):\n{listed}")
    other = LatentStore(path)
    fields = {field.name: field.type for field in other.schema}
    shared = [name for name in job.metrics if fields.get(name) == pa.float64() and f"{name}_status" in fields]
    if not shared:
        raise SpecError(f"compare_with: {path} has none of the metrics {', '.join(job.metrics)}")


def _compared(job: Any) -> dict[str, Any]:
    content: dict[str, Any] = job.content()
    return {name: value for name, value in content.items() if name not in MAY_DIFFER}
