"""Units → blocks and spans: what travels together through a pass.

    pending units of one shape   ▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏
    blocks                       |· · · ·|· · · ·|· · · ·|· · · ·|…     decoded and computed at once
    spans                        |---------------|---------------|…     given to one decode task, block after block

Ray takes some milliseconds to register what a pass begins with, piece by piece, and remembers it to the end. So a large
job begins with at most MAX_SPANS spans, which are row numbers of the plan and not the rows themselves; a small job, and
one that isolates units, with a span for each block.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.planned import Plan

MAX_SPANS = 2000
"""At the end of a pass, decode tasks wait for the last span: a two-thousandth of the work at most."""


def form_spans(units: Plan, units_per_block: int, *, blocks_per_span: int = 1) -> list[NDArray[np.int64]]:
    """Cuts units into spans of one shape bucket each.

    Args:
        units: in plan order.
        units_per_block: units of one block at most.
        blocks_per_span: blocks of one span at most.

    Returns:
        Positions among `units`, ascending, of each span's units; spans in the order of their first units.
    """
    size = units_per_block * blocks_per_span
    spans: list[NDArray[np.int64]] = []
    for shape in np.unique(units.shape_of_units):
        members = np.flatnonzero(units.shape_of_units == shape)
        spans += [members[start : start + size] for start in range(0, len(members), size)]
    return sorted(spans, key=lambda span: int(span[0]))


def form_blocks(units: pa.Table, units_per_block: int) -> list[pa.Table]:
    """Cuts units, with all their columns, into blocks of one shape bucket each, in the order of their first units."""
    plan = Plan.of(units)
    return [plan.take(span).table() for span in form_spans(plan, units_per_block)]


def blocks_per_span(num_units: int, units_per_block: int) -> int:
    """How many blocks a span needs to have for there to be no more than MAX_SPANS."""
    return max(1, -(-num_units // (units_per_block * MAX_SPANS)))
