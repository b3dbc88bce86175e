"""What is left to do: the plan without what is stored or quarantined."""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.quarantine import quarantined_ids
from pipeline.store.index import committed_ids


def done_ids(store: str) -> pa.Array:
    """Ids of all units that are stored or quarantined."""
    return pa.concat_arrays([ids.cast(pa.string()) for ids in (committed_ids(store), quarantined_ids(store))])


def pending_units(plan: pa.Table, store: str) -> pa.Table:
    """The units of the plan that are neither stored nor quarantined, in plan order."""
    return plan.filter(pc.invert(pc.is_in(plan["sample_id"], value_set=done_ids(store))))
