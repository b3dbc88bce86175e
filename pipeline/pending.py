"""What is left to do: the plan without what is stored or quarantined.

A unit's seed is a hash of its id, so units are told apart by their seeds: eight bytes each, in a column of every part,
sorted and compared as numbers. Ids are compared where two units of a plan share a seed.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.planned import Plan, is_among
from pipeline.quarantine import quarantined_ids
from pipeline.store.index import committed_ids, committed_seeds, ids_of_rows, list_parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The units that need no work."""

    store: str
    seeds: dict[str, NDArray[np.uint64]]
    """Of the stored units, by part and in its order. After a kill one may be in two parts."""
    quarantined: pa.LargeStringArray
    """Ids of the others, sorted."""

    def num_stored(self, plan: Plan) -> int:
        """Units in the store; `plan` says whether their seeds tell them apart."""
        if not plan.has_unique_seeds:
            return len(committed_ids(self.store).unique())
        return len(np.unique(self._all_seeds()))

    def of(self, plan: Plan) -> NDArray[np.bool_]:
        """Whether each unit of a plan is done, `[units]`."""
        return self.stored(plan) | plan.named(self.quarantined)

    def stored(self, plan: Plan) -> NDArray[np.bool_]:
        """Whether each unit of a plan is stored, `[units]`."""
        if not plan.has_unique_seeds:
            return plan.named(committed_ids(self.store))
        return is_among(plan.seeds, self._all_seeds())

    def outside(self, plan: Plan) -> pa.LargeStringArray:
        """Sorted ids of the units that are done and not in a plan."""
        if plan.has_unique_seeds:
            ends = np.cumsum([len(seeds) for seeds in self.seeds.values()])
            strange = np.split(~is_among(self._all_seeds(), plan.seeds), ends[:-1])
            rows = {name: np.flatnonzero(which) for name, which in zip(self.seeds, strange, strict=False)}
            stored = ids_of_rows(self.store, {name: which for name, which in rows.items() if len(which)})
        else:
            stored = _without(committed_ids(self.store), plan["sample_id"])
        quarantined = _without(self.quarantined, plan.filter(plan.named(self.quarantined))["sample_id"])
        found = pa.concat_arrays([stored, quarantined]).unique()
        return found.take(pc.sort_indices(found))

    def _all_seeds(self) -> NDArray[np.uint64]:
        return np.concatenate([np.zeros(0, np.uint64), *self.seeds.values()])


def find_done(store: str, plan: Plan) -> Done:
    """Looks into a store; parts that were looked at for this plan before are not read again.

    Raises:
        pipeline.store.part.DamagedPartError: a part is cut short; the message names it.
    """
    parts = list_parts(store)
    known = plan.seeds_of_parts
    known.update(committed_seeds(store, [name for name in parts if name not in known]))
    seeds = {name: known[name] for name in parts}
    return Done(store=store, seeds=seeds, quarantined=quarantined_ids(store))


def pending_units(plan: Plan, store: str) -> Plan:
    """The units of the plan that are neither stored nor quarantined, in plan order."""
    return plan.filter(~find_done(store, plan).of(plan))


def in_both(some: pa.Array, many: pa.Array) -> pa.Array:
    """Those ids of `some` that are among `many`, which may be far more."""
    return many.filter(pc.is_in(many, value_set=some.cast(many.type))).cast(some.type)


def _without(ids: pa.Array, others: pa.ChunkedArray) -> pa.Array:
    return ids.filter(pc.invert(pc.is_in(ids, value_set=others.cast(ids.type))))
