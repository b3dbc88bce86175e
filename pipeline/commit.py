"""Computed blocks → files of the store: the last stage, whose return values are receipts."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypedDict

import pyarrow as pa

from pipeline.failure import healthy, read_failures
from pipeline.quarantine import Failure, write_quarantine
from pipeline.store import location
from pipeline.store.columns import with_encoded_audio
from pipeline.store.writer import PartWriter


class Suspect(TypedDict):
    """A unit that failed, alone or with its block, and the error that it failed with."""

    sample_id: str
    stage: str
    error_type: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one write task committed; small enough to stream to the driver."""

    num_units: int = 0
    audio_seconds: float = 0.0
    num_bytes: int = 0
    num_quarantined: int = 0
    suspects: list[Suspect] = field(default_factory=list)
    """Units that failed and may be innocent: left pending for a smaller block."""
    store_error: str = ""
    """Why nothing could be written: the store's fault, not the units'."""


RECEIPT_SCHEMA = pa.schema(
    [
        pa.field("num_units", pa.int64()),
        pa.field("audio_seconds", pa.float64()),
        pa.field("num_bytes", pa.int64()),
        pa.field("num_quarantined", pa.int64()),
        pa.field("suspects", pa.list_(pa.struct([(name, pa.string()) for name in Suspect.__annotations__]))),
        pa.field("store_error", pa.string()),
    ]
)


class Commit:
    """Writes healthy rows into a part of the store and failed ones into the quarantine."""

    def __init__(self, store: str, schema: pa.Schema) -> None:
        self._store = store
        self._schema = schema
        self._manifest = location.join(store, location.MANIFEST)
        self._begun = location.exists(self._manifest)

    def __call__(self, block: pa.Table) -> pa.Table:
        """Commits `block`, atomically for each of the two files, and returns one receipt row.

        A retry of the same block replaces the same files: rows by the same bytes, failures by the same units.
        """
        try:
            receipt = self._commit(block)
        except Exception as error:  # noqa: BLE001 (the driver stops the job with it)
            receipt = Receipt(store_error=f"{type(error).__name__}: {error}")
        return pa.Table.from_pylist([asdict(receipt)], RECEIPT_SCHEMA)

    def _commit(self, block: pa.Table) -> Receipt:
        if self._begun and not location.exists(self._manifest):  # writing on would leave parts that no manifest knows
            raise FileNotFoundError(f"{self._manifest} is gone: the output was removed or moved while the job ran")
        failures = read_failures(block)
        quarantined = [
            Failure(
                sample_id=row["sample_id"],
                source=row["source"],
                start_seconds=row["start_seconds"],
                duration_seconds=row["duration_seconds"],
                stage=failure.stage,
                reason=failure.reason,
                error_type=failure.error_type,
                attempts=failure.attempts,
            )
            for row, failure in zip(_described(block), failures, strict=True)
            if failure is not None and not failure.isolate
        ]
        if quarantined:
            write_quarantine(self._store, quarantined)
        suspects = [
            Suspect(sample_id=name, stage=failure.stage, error_type=failure.error_type, reason=failure.reason)
            for name, failure in zip(block["sample_id"].to_pylist(), failures, strict=True)
            if failure is not None and failure.isolate
        ]
        receipt = Receipt(num_quarantined=len(quarantined), suspects=suspects)
        good = block.filter(healthy(block))
        if not good.num_rows:
            return receipt
        content = [name for name in self._schema.names if name in good.column_names]
        table = with_encoded_audio(good.select(content), self._schema)
        part = PartWriter(self._store, self._schema).commit(table)
        return replace(receipt, num_units=part.num_units, audio_seconds=part.audio_seconds, num_bytes=part.num_bytes)


def _described(block: pa.Table) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = block.select(
        ["sample_id", "source", "start_seconds", "duration_seconds"]
    ).to_pylist()
    return described
