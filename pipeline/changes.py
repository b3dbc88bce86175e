"""What became of a source since its store was last run."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store.digest import row_digests

NOT_CONTENT = ["_path", "_probe_error"]
"""Columns of the plan that may differ without a unit being another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Units by what has to happen to them; sorted by id."""

    changed: list[str]
    """Their file is another one, or their row in the manifest says something else: to be made anew."""
    unreadable: list[str]
    """Their file was read before and cannot be read now, as when a disk is not mounted."""
    gone: list[str]
    """They are in the store or its quarantine, and not in the plan any more."""
    num_added: int
    """Units that are new in the plan."""

    def describe(self) -> str:
        """One sentence; empty if nothing changed."""
        facts = (
            (self.num_added, "new"),
            (len(self.changed), "changed, to be made anew"),
            (len(self.unreadable), "whose file cannot be read now"),
            (len(self.gone), "gone from the source"),
        )
        told = [f"{count:,} unit(s) {what}" for count, what in facts if count]
        return f"since the last run: {', '.join(told)}" if told else ""


def find_changes(
    old_plan: pa.Table | None, old_probes: pa.Table | None, plan: pa.Table, probes: pa.Table, done: pa.Array
) -> Changes:
    """Compares two plans of one job, and the files that they were made from.

    A file counts as changed if its size differs, or its time and its fingerprint do: one that was merely touched or
    copied has not changed.

    Args:
        old_plan: of the last run; None if it is lost, and then only `gone` can be told.
        old_probes: that it was made from; likewise.
        plan: of now.
        probes: that it is made from.
        done: ids of the units that are stored or quarantined.
    """
    ids = plan["sample_id"]
    if old_plan is None or old_probes is None:
        gone = done.filter(pc.invert(pc.is_in(done, value_set=ids)))
        return Changes(changed=[], unreadable=[], gone=sorted(gone.to_pylist()), num_added=0)
    at = pc.index_in(ids, value_set=old_plan["sample_id"])
    in_both = pc.is_valid(at)
    shared, before = plan.filter(in_both), old_plan.take(pc.drop_null(at))
    other_file = pc.is_in(shared["source"], value_set=_other_content(old_probes, probes))
    differs = pc.or_(other_file, _other_row(shared.drop_columns(NOT_CONTENT), before.drop_columns(NOT_CONTENT)))
    lost = _now_unreadable(old_probes, probes)
    unreadable = old_plan.filter(pc.is_in(old_plan["source"], value_set=lost))["sample_id"]
    still = pc.invert(pc.is_in(shared["source"], value_set=lost))
    planned = pc.or_(pc.is_in(done, value_set=ids), pc.is_in(done, value_set=unreadable))
    return Changes(
        changed=sorted(shared.filter(pc.and_(differs, still))["sample_id"].to_pylist()),
        unreadable=sorted(unreadable.to_pylist()),
        gone=sorted(done.filter(pc.invert(planned)).to_pylist()),
        num_added=pc.sum(pc.invert(in_both)).as_py() or 0,
    )


def _other_row(now: pa.Table, before: pa.Table) -> pa.Array:
    """Rows whose content differs, by their digests: null, NaN and nested values equal themselves."""
    if now.schema.names != before.schema.names:
        return pa.repeat(True, now.num_rows)
    return pc.not_equal(row_digests(now, now.schema), row_digests(before, before.schema))


def _now_unreadable(old: pa.Table, new: pa.Table) -> pa.ChunkedArray:
    """Items that had a header and now have an error."""
    failed = new.filter(pc.is_valid(new["error"]))["item"]
    good = old.filter(pc.is_null(old["error"]))["item"]
    return failed.filter(pc.is_in(failed, value_set=good))


def _other_content(old: pa.Table, new: pa.Table) -> pa.ChunkedArray:
    """Items that are in both tables and have other content now, as far as size, time and fingerprint tell."""
    at = pc.index_in(new["item"], value_set=old["item"])
    shared, before = new.filter(pc.is_valid(at)), old.take(pc.drop_null(at))
    moved = pc.and_(_unequal(shared, before, "modified_ns"), _unequal(shared, before, "fingerprint"))
    return shared.filter(pc.or_(_unequal(shared, before, "size_bytes"), moved))["item"]


def _unequal(now: pa.Table, before: pa.Table, name: str) -> pa.Array:
    """Rows in which a column differs; nulls equal each other."""
    first, second = now[name], before[name]
    either_null = pc.xor(pc.is_null(first), pc.is_null(second))
    return pc.or_(either_null, pc.fill_null(pc.not_equal(first, second), False))
