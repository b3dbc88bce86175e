"""Commits units to a store: one Parquet part per table, whole or not at all.

A part's name is a hash of its units' ids, so that a write that is tried again replaces its own file with the same
bytes instead of adding the units a second time. Each file carries checksums of its pages and of itself (`seal`).
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store import location
from pipeline.store.digest import row_digests
from pipeline.store.schema import DIGEST_FIELD, DURATION_SECONDS, ROW_DIGEST, SAMPLE_ID, conform, content_schema
from pipeline.store.schema import tensor_columns as tensor_columns_of
from pipeline.store.seal import sealed_parquet
from pipeline.store.statistics import METADATA_KEY, encode_sums, table_sums

_ROW_GROUP_BYTES = 8 << 20
_ROW_GROUP_ROWS = 1024
_ONE_PAGE_BYTES = 1 << 30  # more than any column chunk: values then lie back to back, readable in place


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReceipt:
    """What one commit added to the store."""

    file: str
    """Name of the part under `data/`."""
    num_units: int
    audio_seconds: float
    num_bytes: int
    """Size of the file."""


class PartWriter:
    """Writes tables of units as parts of one store."""

    def __init__(
        self,
        store: str,
        schema: pa.Schema,
        *,
        compression: Literal["none", "zstd"] = "none",
        durable: bool = True,
    ) -> None:
        """Write to a store.

        Args:
            store: The store's folder; made where it is missing.
            schema: From `store_schema`.
            compression: Of all columns. Latents hardly shrink, and compressed ones cannot be read in place.
            durable: Return from a commit only once it would survive a power cut.
        """
        self._folder = location.join(store, location.DATA)
        self._schema = pa.schema([*content_schema(schema), DIGEST_FIELD])
        self._content = content_schema(schema)
        self._tensors = tensor_columns_of(schema)
        self._compression = compression
        self._durable = durable

    def commit(self, table: pa.Table) -> PartReceipt:
        """Add the units of `table` to the store, all or none.

        Args:
            table: The content columns of the store's schema, in any order; the digests are computed here.

        Raises:
            ValueError: The table is empty, repeats an id, or does not match the schema (see `schema.conform`).
            OSError: The part cannot be written.
        """
        content = conform(table, self._content)
        path = location.join(self._folder, part_name(content.column(SAMPLE_ID)))
        num_bytes = location.atomic_write(path, lambda file: self._write(content, file), durable=self._durable)
        return PartReceipt(
            file=path.rpartition("/")[2],
            num_units=content.num_rows,
            audio_seconds=float(pc.sum(content.column(DURATION_SECONDS)).as_py()),
            num_bytes=num_bytes,
        )

    def _write(self, content: pa.Table, file: pa.NativeFile) -> None:
        # Hashing, summing and writing release the GIL: the digests of the next row group are made while this one is
        # written, and the sums meanwhile.
        with ThreadPoolExecutor(2) as pool, sealed_parquet(file, self._schema, **self._options()) as writer:
            sums = pool.submit(table_sums, content, self._content)
            groups = list(_row_groups(content))
            digests = pool.map(lambda group: row_digests(group, self._content), groups)
            for group, digest in zip(groups, digests, strict=True):
                rows = pa.Table.from_arrays([*group.columns, digest], schema=self._schema)
                writer.write_table(rows, row_group_size=group.num_rows)
            writer.add_key_value_metadata({METADATA_KEY: encode_sums(sums.result())})

    def _options(self) -> dict[str, Any]:
        plain = {SAMPLE_ID, ROW_DIGEST, *self._tensors}
        return {
            "compression": self._compression,
            "use_dictionary": [name for name in self._schema.names if name not in plain],
            "write_statistics": [name for name in self._schema.names if name not in {ROW_DIGEST, *self._tensors}],
            "data_page_size": _ONE_PAGE_BYTES,
            "write_batch_size": _ROW_GROUP_ROWS,
        }


def part_name(ids: pa.ChunkedArray) -> str:
    """File name of the part that holds the units `ids`, whatever their order.

    Raises:
        ValueError: There are none, or one stands there twice.
    """
    names = sorted(ids.to_pylist())
    if not names:
        raise ValueError("a part needs at least one unit; got a table without rows")
    repeated = sorted({a for a, b in pairwise(names) if a == b})
    if repeated:
        raise ValueError(f"a unit can be committed once; {len(repeated)} id(s) repeat, the first is {repeated[0]!r}")
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        encoded = name.encode()
        digest.update(len(encoded).to_bytes(4, "little") + encoded)
    return f"part-{digest.hexdigest()}.parquet"


def _row_groups(table: pa.Table) -> Iterator[pa.Table]:
    """Slices of a few MiB, so that a reader that decodes a whole row group for one row stays quick."""
    rows = max(1, min(_ROW_GROUP_ROWS, _ROW_GROUP_BYTES * table.num_rows // max(1, table.nbytes)))
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)
