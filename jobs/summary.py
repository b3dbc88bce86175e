"""How a run ended, as data and in words."""

import os
import shlex
from dataclasses import dataclass
from typing import Any

from jobs.base import Findings
from jobs.failures import FailureGroup, describe_failures
from pipeline.progress import format_duration
from pipeline.store import location
from pipeline.store.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run made."""

    store: str
    manifest: Manifest
    num_new: int
    """Units that this run stored."""
    num_kept: int
    """Units that earlier runs had stored."""
    new_audio_seconds: float
    """Audio in the units that this run stored."""
    seconds: float
    """Wall time of this run, start-up included."""
    num_units: int
    """Units in the plan."""
    example: str
    """Id of one of them."""
    notes: tuple[str, ...]
    """Choices that the spec left to the machine, one sentence each."""
    findings: Findings = Findings()  # noqa: RUF009 (frozen)
    """What the job found out."""
    failures: tuple[FailureGroup, ...] = ()
    """What is in the quarantine, in groups."""
    budget_exceeded: bool
    """Whether more units failed than the spec allows."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        totals = self.manifest.totals
        return {
            "store": self.store,
            "state": self.manifest.state,
            "num_units": self.num_units,
            "num_stored": totals.num_units,
            "num_new": self.num_new,
            "num_kept": self.num_kept,
            "num_quarantined": totals.num_quarantined,
            "budget_exceeded": self.budget_exceeded,
            "failures": [group.as_json() for group in self.failures],
            "notes": list(self.notes),
            "findings": self.findings.values,
            "audio_seconds": totals.audio_seconds,
            "num_bytes": totals.num_bytes,
            "seconds": self.seconds,
            "content_digest": self.manifest.content_digest,
            "identity": self.manifest.identity,
        }


def describe_summary(summary: Summary) -> str:
    """A few lines for the person who ran it, ending in what to type next."""
    totals = summary.manifest.totals
    store = _near(summary.store)
    lines = [f"{totals.num_units:,} units of {format_duration(totals.audio_seconds)} audio in {store}"]
    if summary.num_new:
        speed = summary.new_audio_seconds / summary.seconds
        lines.append(
            f"  made      {summary.num_new:,} in {format_duration(summary.seconds)}, start-up included"
            f" ({speed:,.1f} times real time)"
        )
    if summary.num_kept:
        lines.append(f"  kept      {summary.num_kept:,} that were there already")
    lines.append(f"  size      {format_bytes(totals.num_bytes)} in {totals.num_parts} file(s)")
    lines.append(f"  digest    {summary.manifest.content_digest}")
    statistics = summary.manifest.statistics or {}
    if statistics.get("scale_factor"):
        lines.append(f"  scale     {statistics['scale_factor']:.4f} brings the latents to unit variance")
    if totals.num_quarantined:
        share = totals.num_quarantined / summary.num_units
        over = "; the failure budget is exceeded" if summary.budget_exceeded else ""
        lines.append(f"  failed    {totals.num_quarantined:,} of {summary.num_units:,} units ({share:.1%}){over}")
        lines += describe_failures(summary.failures)
    lines += [f"  note      {note}" for note in summary.notes]
    lines += [f"  {line}" for line in summary.findings.lines]
    lines += ["next:", f"  latentmill status {shlex.quote(store)}"]
    if totals.num_units:
        lines.append(f"  latentmill report {shlex.quote(store)}   # a page to look at and listen to")
    if summary.failures:
        lines += [
            f"  latentmill show {shlex.quote(store)} {shlex.quote(summary.failures[0].example)}",
            f"  latentmill run {shlex.quote(location.join(store, location.JOB))} --retry-quarantined   # once mended",
        ]
    lines += [
        f"  latentmill show {shlex.quote(store)} {shlex.quote(summary.example)}",
        f"""  python -c "from pipeline.store import LatentStore; print(LatentStore({store!r})[0])\"""",
    ]
    return "\n".join(lines)


def _near(path: str) -> str:
    """The path as seen from the working directory, where it lies below that."""
    if not location.is_local(path):
        return path
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def format_bytes(count: int) -> str:
    """`812 B`, `3.4 MB`, `1.2 TB`."""
    value, units = float(count), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1000 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
