"""`manifest.json`: what a store holds and how it was made, for people and for the reader."""

import json
import re
import zlib
from datetime import UTC, datetime
from typing import Any, Literal, Self

import pyarrow as pa
from pydantic import Field, ValidationError

from pipeline.store import location
from pipeline.store.schema import has_varying_shape, tensor_columns
from pipeline.store.seal import SealState
from workers.spec import Spec

FORMAT_VERSION = 1


_PREFIX, _BLANK = "crc32:", "0" * 8
_SEAL = re.compile(rb'"checksum": "crc32:[0-9a-f]{8}"\s*\}\s*\Z')


class ColumnSummary(Spec):
    """One column of the store's schema."""

    name: str
    type: str
    """Arrow type, as pyarrow prints it."""
    nullable: bool
    dtype: str | None = None
    """Numpy dtype of a tensor's elements; none for other columns."""
    shape: tuple[int, ...] | None = None
    """Shape of a tensor; none where it differs from row to row, and for other columns."""


class Totals(Spec):
    """How much the store holds."""

    num_units: int = Field(0, ge=0)
    num_quarantined: int = Field(0, ge=0)
    num_parts: int = Field(0, ge=0)
    num_bytes: int = Field(0, ge=0)
    """Size of the part files."""
    audio_seconds: float = Field(0.0, ge=0)


class Manifest(Spec):
    """The facts of one store."""

    format_version: int = FORMAT_VERSION
    kind: str
    """Job kind that made the store."""
    identity: str
    """SHA-256 over what decides the content: the job's content half and the model's weights."""
    columns: tuple[ColumnSummary, ...] = Field(alias="schema")
    environment: dict[str, str] = Field(default_factory=dict)
    """Versions and devices that the content was made with."""
    state: Literal["running", "interrupted", "complete"]
    created: datetime
    updated: datetime
    totals: Totals = Totals()
    statistics: dict[str, Any] | None = None
    """`pipeline.store.statistics.StoreStatistics` as JSON; none until the job is complete."""
    content_digest: str | None = None
    """Digest of all rows, whatever files they are in; none until the job is complete."""

    @classmethod
    def start(cls, *, kind: str, identity: str, schema: pa.Schema, environment: dict[str, str]) -> Self:
        """The manifest of a job that begins now."""
        now = datetime.now(UTC)
        values: dict[str, Any] = {"schema": summarise_schema(schema)}
        return cls(
            kind=kind, identity=identity, environment=environment, state="running", created=now, updated=now, **values
        )

    def revise(self, **changes: Any) -> Self:
        """A copy with `changes` and a new `updated` time.

        Raises:
            ValueError: A change has no such field or a wrong value.
        """
        return self.model_validate(self.model_dump(by_alias=True) | changes | {"updated": datetime.now(UTC)})


def summarise_schema(schema: pa.Schema) -> tuple[ColumnSummary, ...]:
    """The columns of an Arrow schema, as the manifest lists them."""
    tensors = tensor_columns(schema)
    return tuple(
        ColumnSummary(
            name=field.name,
            type=_LIST.sub("list<item: ", str(field.type)),
            nullable=field.nullable,
            dtype=tensors[field.name].dtype if field.name in tensors else None,
            shape=tensors[field.name].shape
            if field.name in tensors and not has_varying_shape(schema, field.name)
            else None,
        )
        for field in schema
    )


_LIST = re.compile(r"\blist<\w+: ")
"""How Arrow writes a list's type: with the name of what is in it, which Parquet replaces by its own."""


def save_manifest(store: str, manifest: Manifest) -> None:
    """Write the store's manifest, replacing the one that is there in one step."""
    values = manifest.model_dump(mode="json", by_alias=True) | {"checksum": _PREFIX + _BLANK}
    text = (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
    location.atomic_write(location.join(store, location.MANIFEST), _SEAL.sub(_sealed(text), text))


def check_manifest_seal(store: str) -> SealState:
    """Whether the bytes of the store's manifest are those that were written.

    Raises:
        OSError: It cannot be read.
    """
    text = location.read_bytes(location.join(store, location.MANIFEST))
    if b"checksum" not in text and _PREFIX.encode() not in text:  # either alone is a seal that was hit
        return "absent"
    found = _SEAL.search(text)
    return "intact" if found and found[0] == _sealed(_SEAL.sub(_line(_BLANK), text)) else "broken"


def load_manifest(store: str) -> Manifest:
    """Read the store's manifest.

    Raises:
        FileNotFoundError: The folder has none, so it is no store, or one that was never begun.
        ValueError: The file is damaged or of a newer format; the message names it.
    """
    path = location.join(store, location.MANIFEST)
    try:
        values = json.loads(location.read_bytes(path))
        version = values.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ValueError(
                f"{path} has format version {version}; this latentmill reads up to {FORMAT_VERSION}. Upgrade latentmill"
            )
        values.pop("checksum", None)  # `check_manifest_seal` looks at it; whoever edits a manifest may still read it
        return Manifest.model_validate(values)
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise ValueError(f"{path} is not a manifest of latentmill: {error}. Run the job again to rewrite it") from error


def _sealed(blank: bytes) -> bytes:
    """The end of a manifest, with the checksum over all of it as it is with zeros in the checksum's place."""
    return _line(f"{zlib.crc32(blank):08x}")


def _line(checksum: str) -> bytes:
    return f'"checksum": "{_PREFIX}{checksum}"\n}}\n'.encode()
