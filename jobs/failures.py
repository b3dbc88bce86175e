"""What failed, in groups that a person can act on: by stage and kind of reason, with counts, examples and a remedy."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

EXAMPLES = 3
SHOWN_GROUPS = 10
_PARTICULAR = re.compile(
    r"'[^']*'|\"[^\"]*\"|(?<![\w/])/[^\s:;,]+|\b\w[\w.+-]*://\S+|(?<![\w])-?\d[\d,.]*(?:e[+-]?\d+)?"
)
"""What differs between reasons of one kind: quoted names, paths, URIs, numbers."""

_REMEDIES = {
    "probe": "missing, empty, or no recording: bring the file back, replace it, or leave it out of the source",
    "decode": "damaged or cut short: replace the recording, or leave it out of the source",
    "crash": "it takes its process with it: replace the recording, or leave it out; the log in the store says more",
    "timeout": "too slow to read: give it more time in `limits`, replace the recording, or leave it out",
    "model": "the model gives no usable result for it: listen to the recording; the log in the store says more",
}
_PROMPT_REMEDY = "mend that row of the table and run the job again, which makes its clips and keeps all others"
_MEMORY_REMEDY = (
    "too little memory for the model: run it on a larger device, or with fewer `placement.actors` on this one"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Units that failed in one stage for one kind of reason."""

    stage: str
    reason: str
    """The reason; where the units' reasons differ in names and numbers, those are `…`."""
    num_units: int
    num_sources: int
    example: str
    """Id of the first of the units."""
    examples: tuple[str, ...]
    """Ids of the first few."""
    remedy: str
    """What a person can do about it."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        return asdict(self) | {"examples": list(self.examples)}


def group_failures(quarantine: pa.Table) -> tuple[FailureGroup, ...]:
    """Groups the rows of a quarantine table, largest group first."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in quarantine.select(["sample_id", "source", "stage", "reason", "error_type"]).to_pylist():
        source = re.compile(rf"(?<!\w){re.escape(row['source'])}(?!\w)")
        pattern = _PARTICULAR.sub("…", source.sub("…", row["reason"]))
        groups.setdefault((row["stage"], pattern), []).append(row)
    found = [_group(stage, pattern, rows) for (stage, pattern), rows in groups.items()]
    return tuple(sorted(found, key=lambda group: (-group.num_units, group.stage, group.reason)))


def describe_failures(groups: Iterable[FailureGroup], indent: str = "    ") -> list[str]:
    """Lines of text: what, how many, an example, and what to do."""
    groups = list(groups)
    lines = []
    for group in groups[:SHOWN_GROUPS]:
        files = "" if group.num_units == 1 else f" in {group.num_sources:,} file(s)"
        lines.append(f"{indent}{group.num_units:,} × {group.stage}{files}: {group.reason} (such as {group.example})")
        lines.append(f"{indent}    {group.remedy}")
    rest = groups[SHOWN_GROUPS:]
    if rest:
        count = sum(group.num_units for group in rest)
        lines.append(f"{indent}… and {count:,} unit(s) for {len(rest):,} other reasons (status --json lists all)")
    return lines


def _group(stage: str, pattern: str, rows: list[dict[str, str]]) -> FailureGroup:
    reasons = {row["reason"] for row in rows}
    ids = tuple(row["sample_id"] for row in rows[:EXAMPLES])
    return FailureGroup(
        stage=stage,
        reason=reasons.pop() if len(reasons) == 1 else pattern,
        num_units=len(rows),
        num_sources=len({row["source"] for row in rows}),
        example=ids[0],
        examples=ids,
        remedy=_remedy(stage, rows[0]),
    )


def _remedy(stage: str, row: dict[str, str]) -> str:
    if row["error_type"] == "PromptError":
        return _PROMPT_REMEDY
    if stage == "model" and "memory" in row["reason"]:
        return _MEMORY_REMEDY
    return _REMEDIES.get(stage, "see the log in the store")
