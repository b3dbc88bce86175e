"""The pass loop: run what is pending until nothing is, narrowing down whatever takes a process with it.

A unit that kills its process takes its block along, and the blocks that wait for the same actor. What is pending after
a pass goes again in blocks an eighth of the size; units that fail even alone, in two passes, of which the last brought
no other unit through, are quarantined. If nothing at all comes through, or nothing does any more, the fault lies
elsewhere, and no unit is quarantined for it.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.commit import Receipt, Suspect
from pipeline.decode import NOT_THE_FILES_FAULT
from pipeline.failure import PassError, StoreWriteError
from pipeline.graph import Stages, build_graph, run_graph
from pipeline.pending import pending_units
from pipeline.placement import Placement
from pipeline.planned import Plan
from pipeline.quarantine import Failure, write_quarantine

SHRINK = 8
"""Blocks of the next pass are this many times smaller."""
MANY_LEFT = 10_000
"""So many units can hardly each be to blame."""
LONE_PASSES = 2
"""A unit is quarantined after it failed this often, or more, as the only one in its block: once may be the machine's
fault, or that of a unit which had just killed the same actor."""
MAX_GUILTY = 8
"""So many units may be to blame for what nothing was seen of; of more, that is not believed."""


def run_passes(
    plan: Plan,
    store: str,
    stages: Stages,
    placement: Placement,
    *,
    max_guilty: int = 0,
    on_pass: Callable[[int, int], None],
    on_receipt: Callable[[Receipt], None],
) -> int:
    """Runs passes until every unit of the plan is stored or quarantined.

    Args:
        plan: all units.
        store: where to commit.
        stages: what to compute.
        placement: where to compute.
        max_guilty: once some came through, so many units are believed to be to blame themselves, if it is more than
            MAX_GUILTY.
        on_pass: called before each pass with its number from 1 and the units pending.
        on_receipt: called for each committed file.

    Returns:
        The number of passes.

    Raises:
        PassError: the store cannot be written, or no unit comes through.
    """
    size, lone, passes = placement.units_per_block, 0, 0
    pending = pending_units(plan, store)
    num_at_first = pending.num_rows
    while pending.num_rows:
        passes, before = passes + 1, pending.num_rows
        lone += size == 1
        on_pass(passes, pending.num_rows)
        suspects: dict[str, Suspect] = {}
        graph = build_graph(pending, stages, replace(placement, units_per_block=size), store, isolate=size == 1)
        for receipt in run_graph(graph):
            if receipt.store_error:
                raise StoreWriteError(f"{store}: cannot be written: {receipt.store_error}")
            on_receipt(receipt)
            suspects |= {suspect["sample_id"]: suspect for suspect in receipt.suspects}
        pending = pending_units(pending, store)
        limit = MAX_GUILTY if pending.num_rows == plan.num_rows else max(MAX_GUILTY, max_guilty)
        if pending.num_rows == num_at_first > limit:
            _raise_if_alike(suspects, num_at_first)
        if lone >= LONE_PASSES and pending.num_rows == before:
            if pending.num_rows > limit:
                _raise_if_elsewhere(suspects, pending.num_rows, num_at_first)
            write_quarantine(store, [_failure(unit, suspects, lone) for unit in pending.table().to_pylist()])
            on_receipt(Receipt(num_quarantined=pending.num_rows))
            break
        if size == 1:  # who stood behind a guilty unit stands before it now
            pending = pending.take(np.arange(pending.num_rows)[::-1])
        size = next_size(size, before, pending.num_rows)
    return passes


def next_size(size: int, num_before: int, num_left: int) -> int:
    """Units per block of the next pass, after one in blocks of `size` that left `num_left` of `num_before` units.

    Of many that are left, most lay in the hands of a node that was lost. They go again as they were, for as long as
    that brings half of them through; only then do they have to be told apart.
    """
    innocent = num_left > MANY_LEFT and num_left <= num_before // 2
    return size if innocent else max(1, size // SHRINK)


def _raise_if_alike(suspects: dict[str, Suspect], num_units: int) -> None:
    """Stops at once when every unit failed with one kind of error."""
    kinds = {(suspect["stage"], suspect["error_type"]) for suspect in suspects.values()}
    if len(suspects) == num_units and len(kinds) == 1:
        example = next(iter(suspects.values()))
        raise PassError(f"all {num_units} units failed alike: {example['error_type']}: {example['reason']}")


def _raise_if_elsewhere(suspects: dict[str, Suspect], num_left: int, num_at_first: int) -> None:
    """Stops where so many fail even alone that the fault must lie elsewhere.

    Where others came through, units that fail in the model with words of their own are to blame all the same.
    """
    if num_left == num_at_first:
        raise PassError(f"none of {num_at_first} units came through, not even alone; the log says why")
    way_out = "nothing is quarantined; if they are to blame, allow for them in limits.max_failed_fraction"
    silent = [suspect for suspect in suspects.values() if suspect["error_type"] in NOT_THE_FILES_FAULT]
    if len(silent) > num_left // 2:
        raise PassError(
            f"{len(silent)} of {num_left} units that are left cannot be read: {silent[0]['reason']} ({way_out})"
        )
    if len(suspects) < num_left // 2:
        raise PassError(f"{num_left} units took their process with them, even alone; the log says why ({way_out})")


def _failure(unit: dict[str, object], suspects: dict[str, Suspect], attempts: int) -> Failure:
    suspect = suspects.get(str(unit["sample_id"]))
    return Failure(
        sample_id=str(unit["sample_id"]),
        source=str(unit["source"]),
        start_seconds=float(str(unit["start_seconds"])),
        duration_seconds=float(str(unit["duration_seconds"])),
        stage=suspect["stage"] if suspect else "crash",
        reason=suspect["reason"] if suspect else "no result even alone in its block: its process died, or was killed",
        error_type=suspect["error_type"] if suspect else "crash",
        attempts=attempts,
    )
