"""Whether another `evaluate` store can be compared with, pair by pair."""

from typing import TYPE_CHECKING, Any

from jobs.identity import NOT_CONTENT, differences
from jobs.recorded import recorded_facts, recorded_job, recorded_manifest
from jobs.spec_error import SpecError
from workers.metrics.metric_names import MODELS

if TYPE_CHECKING:
    from jobs.evaluate_job import EvaluateJob

MEANINGS = {"metrics": "definitions of the metrics", "heard": "definitions of the metrics of generated sound"}
"""What facts are called."""

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
    other = recorded_job(path)
    assert isinstance(other, type(job))  # by its kind
    shared = tuple(name for name in job.metrics if name in other.metrics)
    asked, job, other = job.metrics, job.asking(shared), other.asking(shared)
    differing = differences(_compared(other), _compared(job))
    there = recorded_facts(manifest)
    for name, ours in job.facts().items():
        if there.get(name) != ours:
            differing.append((MEANINGS.get(name, name), there.get(name), ours))
    if differing:
        listed = "\n".join(f"  {name}: {before} → {now}" for name, before, now in differing)
        raise SpecError(f"compare_with: {path} scores other pairs, or in another way (there → here):\n{listed}")
    if not shared:
        raise SpecError(f"compare_with: {path} has none of the metrics {', '.join(asked)}")


def _compared(job: "EvaluateJob") -> dict[str, Any]:
    """What decides values, but for where weights lie: facts hold their digests."""
    content: dict[str, Any] = job.content()
    for name in MODELS:
        if isinstance(content[name], dict):
            content[name] = {key: value for key, value in content[name].items() if key not in NOT_CONTENT[name]}
    return {name: value for name, value in content.items() if name not in MAY_DIFFER}
