"""What became of a source since its store was last run."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

VERSION_COLUMNS = ("size_bytes", "modified_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Units that earlier runs planned and whose results, if any, no longer count; sorted by id."""

    changed: list[str]
    """Their file has another size or time, or their row in the manifest says something else."""
    gone: list[str]
    """They are not in the plan any more."""
    num_added: int
    """Units that are new in the plan."""

    def describe(self) -> str:
        """One sentence; empty if nothing changed."""
        facts = (
            (self.num_added, "new"),
            (len(self.changed), "changed and to be made anew"),
            (len(self.gone), "gone from the source and to be removed"),
        )
        told = [f"{count:,} unit(s) {what}" for count, what in facts if count]
        return f"since the last run: {', '.join(told)}" if told else ""


def find_changes(old_plan: pa.Table, old_probes: pa.Table, plan: pa.Table, probes: pa.Table) -> Changes:
    """Compares two plans of one job, and the files that they were made from.

    A file that was merely touched counts as changed: its units are made again, to the same bytes.
    """
    ids = plan["sample_id"]
    at = pc.index_in(ids, value_set=old_plan["sample_id"])
    in_both = pc.is_valid(at)
    shared, before = plan.filter(in_both), old_plan.take(pc.drop_null(at))
    differs = pc.is_in(shared["source"], value_set=_other_version(old_probes, probes))
    for name in set(plan.column_names) | set(old_plan.column_names):
        if name != "path":
            differs = pc.or_(differs, _unequal(shared, before, name))
    gone = old_plan.filter(pc.invert(pc.is_in(old_plan["sample_id"], value_set=ids)))
    return Changes(
        changed=sorted(shared.filter(differs)["sample_id"].to_pylist()),
        gone=sorted(gone["sample_id"].to_pylist()),
        num_added=pc.sum(pc.invert(in_both)).as_py() or 0,
    )


def _other_version(old: pa.Table, new: pa.Table) -> pa.Array:
    """Items that are in both tables with another size or time."""
    at = pc.index_in(new["item"], value_set=old["item"])
    shared, before = new.filter(pc.is_valid(at)), old.take(pc.drop_null(at))
    differs = pc.or_(*(_unequal(shared, before, name) for name in VERSION_COLUMNS))
    return shared.filter(differs)["item"].combine_chunks()


def _unequal(now: pa.Table, before: pa.Table, name: str) -> pa.Array:
    """Rows in which a column differs; nulls equal each other."""
    if name not in now.column_names or name not in before.column_names:
        return pa.repeat(True, now.num_rows)
    first, second = now[name].combine_chunks(), before[name].combine_chunks()
    if pa.types.is_nested(first.type) or first.type != second.type:
        return pa.array([a != b for a, b in zip(first.to_pylist(), second.to_pylist(), strict=True)], pa.bool_())
    either_null = pc.xor(pc.is_null(first), pc.is_null(second))
    return pc.or_(either_null, pc.fill_null(pc.not_equal(first, second), False))
