"""The pass loop: run what is pending until nothing is, narrowing down whatever takes a process with it."""

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.commit import Receipt
from pipeline.graph import Stages, build_graph, run_graph
from pipeline.placement import Placement
from pipeline.plan import form_blocks
from pipeline.quarantine import Failure, quarantined_ids, write_quarantine
from pipeline.store.index import committed_ids

SHRINK = 8
"""Blocks of the next pass are this many times smaller."""
LONE_PASSES = 2
"""A unit is quarantined as `crash` after it failed this often as the only one in its block: once may have been the
machine's fault."""


class PassError(RuntimeError):
    """A pass failed for a reason that lies outside the units."""


def pending_units(plan: pa.Table, store: str) -> pa.Table:
    """The units of the plan that are neither stored nor quarantined, in plan order."""
    done = pa.concat_arrays([ids.cast(pa.string()) for ids in (committed_ids(store), quarantined_ids(store))])
    return plan.filter(pc.invert(pc.is_in(plan["sample_id"], value_set=done)))


def run_passes(
    plan: pa.Table,
    store: str,
    stages: Stages,
    placement: Placement,
    *,
    on_pass: Callable[[int, int], None],
    on_receipt: Callable[[Receipt], None],
) -> int:
    """Runs passes until every unit of the plan is stored or quarantined.

    Args:
        plan: all units.
        store: where to commit.
        stages: what to compute.
        placement: where to compute.
        on_pass: called before each pass with its number from 1 and the units pending.
        on_receipt: called for each committed file.

    Returns:
        The number of passes.

    Raises:
        PassError: the store cannot be written, or every unit of a pass failed alike.
    """
    size, lone, passes = placement.units_per_block, 0, 0
    pending = pending_units(plan, store)
    while pending.num_rows:
        passes += 1
        lone += size == 1
        on_pass(passes, pending.num_rows)
        graph = build_graph(
            form_blocks(pending, size), stages, replace(placement, units_per_block=size), store, isolate=passes > 1
        )
        receipts = []
        for receipt in run_graph(graph):
            if receipt.store_error:
                raise PassError(f"{store}: cannot be written: {receipt.store_error}")
            on_receipt(receipt)
            receipts.append(receipt)
        _raise_if_hopeless(receipts, pending.num_rows)
        pending = pending_units(pending, store)
        if lone == LONE_PASSES and pending.num_rows:
            if pending.num_rows == plan.num_rows > 1:
                raise PassError(f"none of the {plan.num_rows} units came through, not even alone; the log says why")
            write_quarantine(store, [_crash(row, lone) for row in pending.to_pylist()])
            on_receipt(Receipt(num_quarantined=pending.num_rows))
            break
        size = max(1, size // SHRINK)
    return passes


def _raise_if_hopeless(receipts: list[Receipt], num_pending: int) -> None:
    reasons = {receipt.reason for receipt in receipts if receipt.reason}
    if sum(receipt.num_isolate for receipt in receipts) == num_pending > 1 and len(reasons) == 1:
        raise PassError(f"all {num_pending} units failed alike: {reasons.pop()}")


def _crash(unit: dict[str, object], attempts: int) -> Failure:
    return Failure(
        sample_id=str(unit["sample_id"]),
        source=str(unit["source"]),
        start_seconds=float(str(unit["start_seconds"])),
        duration_seconds=float(str(unit["duration_seconds"])),
        stage="crash",
        reason="its process died each time, also when it was alone in its block",
        error_type="crash",
        attempts=attempts,
    )
