"""What became of a source since its store was last run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.pending import Done
from pipeline.planned import CHUNK, Plan, match_units
from pipeline.store.digest import row_digests

NOT_CONTENT = ["_path", "_member", "_candidate_path", "_candidate_member", "_probe_error"]
"""Columns of the plan that may differ without a unit being another."""
EXAMPLES = 3
"""Names that are told of each kind of change."""
_NONE = pa.array([], pa.string())


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Ids of units by what has to happen to them, as sorted Arrow arrays."""

    changed: pa.Array = field(default_factory=lambda: _NONE)
    """Their file is another one, or their row in the manifest says something else: to be made anew."""
    unreadable: pa.Array = field(default_factory=lambda: _NONE)
    """Their file was read before and cannot be read now, as when a disk is not mounted; or its counterpart."""
    gone: pa.Array = field(default_factory=lambda: _NONE)
    """They are in the store or its quarantine, and not in the plan any more."""
    num_added: int = 0
    """Units that are new in the plan."""
    added: list[str] = field(default_factory=list)
    """Some of those."""
    rewritten: pa.Array = field(default_factory=lambda: _NONE)
    """Those of `changed` whose file is another one; of the others, the row in the manifest is."""
    num_touched: int = 0
    """Files that have another time and the content that they had: nothing happens to their units."""

    def kinds(self) -> "list[Kind]":
        """What happened, one entry per kind that there is, with a few names."""
        edited = self.changed.filter(pc.invert(pc.is_in(self.changed, value_set=self.rewritten)))
        kinds = [
            Kind("new", self.num_added, "to be made", self.added),
            _kind("changed", self.rewritten, "the recording is another one: to be made anew"),
            _kind("edited", edited, "the manifest says something else of them: to be made anew"),
            _kind("unreadable", self.unreadable, "the file cannot be read now"),
            _kind("gone", self.gone, "the source no longer gives them: `run --prune` takes them out"),
            Kind("touched", self.num_touched, "files with another time and the same content: kept", []),
        ]
        return [kind for kind in kinds if kind.count]

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


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of change."""

    name: str
    count: int
    """Units; files for `touched`."""
    what: str
    """What it means, and what will happen."""
    examples: list[str]


def find_changes(
    old_plan: Plan | None, old_probes: pa.Table | None, plan: Plan, probes: pa.Table, done: Done
) -> Changes:
    """Compares two plans of one job, and the files that they were made from.

    A file counts as changed if its size differs, or its time and its fingerprint do: one that was merely touched or
    copied has not changed. Where there is no time, the fingerprint alone tells.

    Args:
        old_plan: of the last run; None if it is lost, and then only `gone` can be told.
        old_probes: that it was made from; likewise.
        plan: of now.
        probes: that it is made from.
        done: the units that are stored or quarantined.
    """
    gone = done.outside(plan).cast(pa.string())
    if old_plan is None or old_probes is None:
        return Changes(gone=gone)
    lost = _now_unreadable(old_probes, probes)
    unreadable = _sorted(_units_of(old_plan, lost))
    before, now = match_units(old_plan, plan)
    other_content = _other_content(old_probes, probes)
    changed = _sorted(_changed(old_plan.take(before), plan.take(now), other_content, lost))
    added = np.setdiff1d(np.arange(plan.num_rows), now)
    return Changes(
        changed=changed,
        rewritten=changed.filter(pc.is_in(changed, value_set=_sorted(_units_of(plan, other_content)))),
        added=plan.take(added[:EXAMPLES])["sample_id"].to_pylist(),
        num_touched=_count_touched(old_probes, probes),
        unreadable=unreadable,
        gone=gone.filter(pc.invert(pc.is_in(gone, value_set=unreadable))),
        num_added=plan.num_rows - len(now),
    )


def _changed(before: Plan, now: Plan, other_content: pa.ChunkedArray, lost: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Ids of the units, the same in both plans by name, whose file or row is another one now."""
    names = _content(now)
    same_columns = names == _content(before)
    for at in range(0, now.num_rows, CHUNK):
        new = now.slice(at, CHUNK).table(names)
        differs = np.ones(new.num_rows, np.bool_)
        if same_columns:
            differs = _other_rows(before.slice(at, CHUNK).table(names), new) | _is_in(new["source"], other_content)
        yield new["sample_id"].filter(pa.array(differs & ~_is_in(new["source"], lost)))


def _content(plan: Plan) -> list[str]:
    return [name for name in plan.schema.names if name not in NOT_CONTENT]


def _other_rows(before: pa.Table, now: pa.Table) -> NDArray[np.bool_]:
    """Rows whose content differs; null, NaN and nested values equal themselves."""
    differs = np.zeros(now.num_rows, np.bool_)
    for name in now.schema.names:
        old, new = before[name], now[name]
        if old.type == new.type and _is_plain(new.type):
            unequal = _unequal(old, new)
            if pa.types.is_floating(new.type):
                unequal = pc.and_(unequal, pc.invert(pc.fill_null(pc.and_(pc.is_nan(old), pc.is_nan(new)), False)))
        else:
            digests = [row_digests(table.select([name]), table.select([name]).schema) for table in (before, now)]
            unequal = pc.not_equal(*digests)
        differs |= np.asarray(unequal)
    return differs


def _is_plain(dtype: pa.DataType) -> bool:
    """Whether Arrow compares values of a type, all of them."""
    tests = (pa.types.is_primitive, pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return any(test(dtype) for test in tests)


def _now_unreadable(old: pa.Table, new: pa.Table) -> pa.ChunkedArray:
    """Items that had a length and now have none: their header cannot be read, or their counterpart is gone."""
    failed = new.filter(pc.is_null(new["num_frames"]))["item"]
    good = old.filter(pc.is_valid(old["num_frames"]))["item"]
    return failed.filter(pc.is_in(failed, value_set=good))


def _other_content(old: pa.Table, new: pa.Table) -> pa.ChunkedArray:
    """Items that are in both tables and have other content now, as far as size, time and fingerprint tell."""
    at = pc.index_in(new["item"], value_set=old["item"])
    shared, before = new.filter(pc.is_valid(at)), old.take(pc.drop_null(at))
    size, time, fingerprint = (
        _unequal(before[name], shared[name]) for name in ("size_bytes", "modified_ns", "fingerprint")
    )
    may_differ = pc.or_(time, pc.is_null(shared["modified_ns"]))
    return shared.filter(pc.or_(size, pc.and_(may_differ, fingerprint)))["item"]


def _count_touched(old: pa.Table, new: pa.Table) -> int:
    """Items whose file has another time and, as far as size and fingerprint tell, the same content."""
    at = pc.index_in(new["item"], value_set=old["item"])
    shared, before = new.filter(pc.is_valid(at)), old.take(pc.drop_null(at))
    size, time, fingerprint = (
        _unequal(before[name], shared[name]) for name in ("size_bytes", "modified_ns", "fingerprint")
    )
    same = pc.invert(pc.or_(size, fingerprint))
    known = pc.and_(pc.is_valid(shared["fingerprint"]), pc.is_valid(before["fingerprint"]))
    return int(pc.sum(pc.and_(pc.and_(time, same), known)).as_py() or 0)


def _kind(name: str, units: pa.Array, what: str) -> Kind:
    return Kind(name, len(units), what, units[:EXAMPLES].to_pylist())


def _unequal(before: pa.ChunkedArray, now: pa.ChunkedArray) -> pa.ChunkedArray:
    """Rows in which a column differs; nulls equal each other."""
    either_null = pc.xor(pc.is_null(now), pc.is_null(before))
    return pc.or_(either_null, pc.fill_null(pc.not_equal(now, before), False))


def _units_of(plan: Plan, sources: pa.ChunkedArray) -> Iterator[pa.ChunkedArray]:
    """Ids of the units of some items."""
    if len(sources):
        for batch in plan.batches(["sample_id", "source"]):
            yield batch["sample_id"].filter(pa.array(_is_in(batch["source"], sources)))


def _is_in(values: pa.ChunkedArray, some: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(pc.is_in(values, value_set=some)) if len(some) else np.zeros(len(values), np.bool_)


def _sorted(pieces: Iterable[pa.ChunkedArray]) -> pa.Array:
    ids = pa.concat_arrays([_NONE, *(chunk for piece in pieces for chunk in piece.chunks)])
    return ids.take(pc.sort_indices(ids))
