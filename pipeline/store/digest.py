"""Digests that say whether two rows, or two stores, hold the same content, whatever files hold it."""

import hashlib
import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store.canonical import Pieces, canonical_pieces, canonical_type
from pipeline.store.schema import ROW_DIGEST_BYTES, undigested

_CHUNK = 1 << 18


def row_digests(table: pa.Table | pa.RecordBatch, schema: pa.Schema) -> pa.FixedSizeBinaryArray:
    """BLAKE2b-128 of each row over the columns of `schema` except those of `undigested`, in order of name.

    What is hashed: the columns' names and canonical types, the dtype and shape of tensors, and each value's canonical
    bytes (`pipeline.store.canonical`). Row order, chunking and file layout are not.

    Args:
        table: Rows with at least the content columns of `schema`.
        schema: A store's schema.

    Returns:
        One digest per row, fixed-size binary of 16 bytes.

    Raises:
        TypeError: A column's type has no canonical bytes.
    """
    names = sorted(set(schema.names) - undigested(schema))
    start = hashlib.blake2b(_header(schema, names), digest_size=ROW_DIGEST_BYTES, person=b"latentmill row 1")
    digests = bytearray()
    batches = table.select(names).to_batches() if isinstance(table, pa.Table) else [table.select(names)]
    for batch in batches:
        pieces = Pieces()
        for column in batch.columns:
            pieces.extend(canonical_pieces(column))
        segments = [(segment.data, segment.offsets.tolist()) for segment in pieces.segments(batch.num_rows)]
        for row in range(batch.num_rows):
            digest = start.copy()
            for data, offsets in segments:
                digest.update(data[offsets[row] : offsets[row + 1]])
            digests += digest.digest()
    num_rows = len(digests) // ROW_DIGEST_BYTES
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(ROW_DIGEST_BYTES), num_rows, [None, pa.py_buffer(bytes(digests))]
    )


def content_digest(ids: pa.Array | pa.ChunkedArray, digests: pa.Array | pa.ChunkedArray) -> str:
    """Digest of a store: BLAKE2b-256 over its rows' ids and digests in order of id.

    Args:
        ids: `sample_id` of each row, in any order.
        digests: `row_digest` of each row.

    Returns:
        64 hexadecimal digits; equal for equal content in any number of files, in any order.

    Raises:
        ValueError: The lengths differ, or an id or a digest is null.
    """
    if len(ids) != len(digests) or ids.null_count or digests.null_count:
        raise ValueError(f"content digest needs one digest per id: {len(ids)} ids, {len(digests)} digests, no nulls")
    flat_ids = _flat(ids, pa.large_string())
    flat_digests = _flat(digests, pa.binary(ROW_DIGEST_BYTES))
    if len(flat_ids) > 1 and not pc.all(pc.less_equal(flat_ids[:-1], flat_ids[1:])).as_py():
        order = pc.sort_indices(flat_ids)
        flat_ids, flat_digests = flat_ids.take(order), flat_digests.take(order)
    total = hashlib.blake2b(len(flat_ids).to_bytes(8, "little"), digest_size=32, person=b"latentmill all 1")
    for column in (flat_ids, flat_digests):
        for data in _canonical_bytes(column):
            total.update(data)
    return total.hexdigest()


def _canonical_bytes(column: pa.Array) -> Iterator[memoryview]:
    """The bytes of `canonical_pieces`, segment by segment, a few rows of each at a time: of many they are a lot."""
    chunks = [column.slice(start, _CHUNK) for start in range(0, max(1, len(column)), _CHUNK)]
    for number in range(len(canonical_pieces(chunks[0]).segments(len(chunks[0])))):
        for chunk in chunks:
            segment = canonical_pieces(chunk).segments(len(chunk))[number]
            yield memoryview(segment.data)[int(segment.offsets[0]) : int(segment.offsets[-1])]


def _header(schema: pa.Schema, names: list[str]) -> bytes:
    """Bytes that fix the meaning of what follows them."""
    columns = []
    for name in names:
        field = schema.field(name)
        facts = field.metadata or {}
        tensor = [facts[key].decode() for key in (b"dtype", b"shape") if key in facts]
        columns.append([name, canonical_type(field.type), *tensor])
    header = json.dumps(columns, separators=(",", ":")).encode()
    return len(header).to_bytes(8, "little") + header


def _flat(column: pa.Array | pa.ChunkedArray, dtype: pa.DataType) -> pa.Array:
    flat = column.cast(dtype)
    if isinstance(flat, pa.ChunkedArray):
        flat = flat.combine_chunks() if flat.num_chunks != 1 else flat.chunk(0)
    if isinstance(flat, pa.ChunkedArray):  # pragma: no cover - pyarrow splits only what passes its 2 GiB offsets
        flat = pa.concat_arrays(flat.chunks)
    return flat
