"""How long the two clips of a unit are, where they need not be a pair of equal length.

```
                 |------- unit -------|
reference  ======|======              |
candidate  ======|====================|======      the plan holds whole lengths, a unit its share of them
```
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.plan import SIDE_COLUMNS

SIDES = ("reference", "candidate")


def side_lengths(units: pa.Table) -> NDArray[np.int64]:
    """Samples of each clip that lie within each unit.

    Args:
        units: rows of a plan with `PAIR_COLUMNS`, and `SIDE_COLUMNS` where clips count without a counterpart too.

    Returns:
        [n, 2], reference and candidate; -1 where there is no such clip, -2 where it has another rate.
    """
    longest = units["_num_samples"].to_numpy()
    if SIDE_COLUMNS[0] not in units.column_names:
        paired = np.asarray(pc.equal(units["_pair_status"], "ok"))
        return np.repeat(np.where(paired, longest, 0)[:, None], 2, axis=1)
    whole = np.stack([units[name].to_numpy() for name in SIDE_COLUMNS], axis=1)
    rest = np.clip(whole - units["_start_sample"].to_numpy()[:, None], 0, longest[:, None])
    return np.where(whole < 0, whole, rest)


def places_of(table: pa.Table, side: str) -> list[pa.ChunkedArray]:
    """Path and member of one side's clips, in items or units; an item without a reference lies where its candidate is.

    Args:
        table: with `PAIR_COLUMNS`.
        side: one of SIDES.
    """
    columns = [table[name] for name in ("_path", "_member")]
    if side == "candidate":
        alone = pc.equal(table["_pair_status"], "no_reference")
        others = [table[name] for name in ("_candidate_path", "_candidate_member")]
        columns = [pc.if_else(alone, own, other) for own, other in zip(columns, others, strict=True)]
    return columns
