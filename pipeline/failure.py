"""How a unit that failed travels beside its neighbours: its row stays in the block and says what went wrong.

And what stops a job, because it is no fact about units.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc

FAILURE = "_failure"
_TYPE = pa.struct(
    [
        pa.field("stage", pa.string()),
        pa.field("error_type", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("isolate", pa.bool_()),
        pa.field("attempts", pa.int32()),
    ]
)


class PassError(RuntimeError):
    """A pass failed for a reason that lies outside the units."""


class StoreWriteError(PassError):
    """The store cannot be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFailure:
    """Why a unit has no result."""

    stage: str
    """Where: `probe`, `decode` or `model`."""

    error_type: str
    """Class name of the error."""

    reason: str
    """One line for the quarantine table."""

    isolate: bool = False
    """This unit may be innocent, its block or its machine to blame: it is tried again in a smaller block."""

    attempts: int = 1
    """How often it was tried."""


def with_failures(block: pa.Table, failures: Sequence[BlockFailure | None]) -> pa.Table:
    """Sets the failure column of a block, one entry per row, None where all is well."""
    column = pa.array([None if failure is None else asdict(failure) for failure in failures], _TYPE)
    position = block.schema.get_field_index(FAILURE)
    return block.append_column(FAILURE, column) if position < 0 else block.set_column(position, FAILURE, column)


def read_failures(block: pa.Table) -> list[BlockFailure | None]:
    """The failure of each row, or None."""
    return [None if value is None else BlockFailure(**value) for value in block[FAILURE].to_pylist()]


def healthy(block: pa.Table) -> pa.ChunkedArray:
    """Which rows have no failure, as booleans."""
    return pc.is_null(block[FAILURE])
