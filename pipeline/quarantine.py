"""The quarantine: a table of the units that failed, each with the stage, the reason and the attempts made.

A unit may fail again on a later attempt, so it may have several rows on disk; readers see the latest one.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store import location
from pipeline.store.part import read_part_table
from pipeline.store.seal import write_sealed

_TIME = pa.timestamp("us", tz="UTC")

QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("start_seconds", pa.float64(), nullable=False, metadata={"unit": "s"}),
        pa.field("duration_seconds", pa.float64(), nullable=False, metadata={"unit": "s"}),
        pa.field("stage", pa.string(), nullable=False, metadata={"description": "probe, decode, model, store, …"}),
        pa.field("reason", pa.string(), nullable=False, metadata={"description": "One sentence for a person."}),
        pa.field("error_type", pa.string(), nullable=False, metadata={"description": "Class of the exception."}),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("first_seen", _TIME, nullable=False),
        pa.field("last_seen", _TIME, nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A unit that could not be made."""

    sample_id: str
    source: str
    start_seconds: float
    duration_seconds: float
    stage: str
    """Where it failed: `probe`, `decode`, `model`, `store`, ..."""
    reason: str
    """One sentence that a person can act on."""
    error_type: str
    """Class name of the exception; `crash` or `timeout` where there was none."""
    attempts: int = 1
    """How often it was tried before it was given up."""


def failures_table(failures: Iterable[Failure], *, seen: datetime | None = None) -> pa.Table:
    """Failures as a table of `QUARANTINE_SCHEMA`.

    Args:
        failures: The units.
        seen: When they failed; now if none.
    """
    moment = seen or datetime.now(UTC)
    rows = [asdict(failure) | {"first_seen": moment, "last_seen": moment} for failure in failures]
    return pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)


def write_quarantine(store: str, failures: pa.Table | Sequence[Failure]) -> str | None:
    """Commit failures to the store's quarantine; the same units again replace their own file.

    Returns:
        Name of the file, none where there were no failures.

    Raises:
        ValueError: A table is not of `QUARANTINE_SCHEMA`.
    """
    table = failures if isinstance(failures, pa.Table) else failures_table(failures)
    if table.schema != QUARANTINE_SCHEMA:
        raise ValueError(f"quarantine table has the schema {table.schema}; expected {QUARANTINE_SCHEMA}")
    if not table.num_rows:
        return None
    ids = sorted(table.column("sample_id").to_pylist())
    name = f"part-{hashlib.blake2b(repr(ids).encode(), digest_size=16).hexdigest()}.parquet"
    path = location.join(store, location.QUARANTINE, name)
    location.atomic_write(path, lambda file: write_sealed(table.cast(QUARANTINE_SCHEMA), file, compression="zstd"))
    return name


def read_quarantine(store: str) -> pa.Table:
    """The quarantined units, sorted by `sample_id`: the latest row of each, with the `first_seen` of its earliest.

    So `attempts` are those that led to the latest failure, not a sum over rows: a row may be there twice after a kill.

    Raises:
        pipeline.store.part.DamagedPartError: A file is cut short; the message names it.
    """
    folder = location.join(store, location.QUARANTINE)
    parts = [read_part_table(location.join(folder, name)) for name in location.list_files(folder)]
    if not parts:
        return QUARANTINE_SCHEMA.empty_table()
    table = pa.concat_tables(parts).sort_by([("sample_id", "ascending"), ("last_seen", "ascending")])
    first = table.group_by("sample_id").aggregate([("first_seen", "min")]).sort_by("sample_id")
    ids = table.column("sample_id").combine_chunks()
    if not len(ids):
        return QUARANTINE_SCHEMA.empty_table()
    is_last = pa.concat_arrays([pc.not_equal(ids[:-1], ids[1:]), pa.array([True])])
    latest = table.filter(is_last)
    position = latest.schema.get_field_index("first_seen")
    return latest.set_column(position, "first_seen", first.column("first_seen_min")).cast(QUARANTINE_SCHEMA)


def quarantined_ids(store: str) -> pa.Array:
    """Sorted ids of the quarantined units (large string)."""
    return read_quarantine(store).column("sample_id").combine_chunks().cast(pa.large_string())


def release(store: str, ids: Iterable[str] | pa.Array) -> int:
    """Take units out of the quarantine, such as those that a later attempt made, or that are to be tried again.

    The whole quarantine becomes one file; a kill in between loses no row.

    Returns:
        How many were in it.
    """
    folder = location.join(store, location.QUARANTINE)
    before = list(location.list_files(folder))
    table = read_quarantine(store)
    released = ids if isinstance(ids, pa.Array) else pa.array(list(ids), pa.string())
    gone = pc.is_in(table.column("sample_id"), released.cast(pa.string()))
    kept = write_quarantine(store, table.filter(pc.invert(gone)))
    for name in before:
        if name != kept:
            location.remove(location.join(folder, name))
    return int(pc.sum(gone).as_py() or 0)
