"""A store of mels or latents as a source: each of its units is an item, and is not cut again."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.probe import PROBE_SCHEMA
from pipeline.source.audio_table import audio_columns, open_table
from pipeline.source.errors import SourceError
from pipeline.source.items import RESERVED_COLUMNS, Items, describe_items
from pipeline.source.listing import Listing
from pipeline.source.manifest import read_column
from pipeline.source.store_source import units_of_store
from pipeline.source_spec import SourceSpec
from pipeline.store.schema import DURATION_SECONDS, ROW_DIGEST, SAMPLE_ID, SHAPE_SUFFIX, tensor_columns

_MEANINGLESS = ("path_column", "id_column", "duration_column", "audio_column", "member_extension")


def list_stored_tensors(spec: SourceSpec, tensors: Sequence[str]) -> Listing:
    """The units of a store as items, called after their ids; `_member` is the row of the part at `_path`.

    Args:
        spec: Whose path is the store.
        tensors: Columns that every unit is to have.

    Raises:
        SourceError: It holds no units, or not those tensors; its columns cannot be carried, or settings mean nothing.
    """
    store = str(spec.path)
    if said := [name for name in _MEANINGLESS if getattr(spec, name) != type(spec).model_fields[name].default]:
        raise SourceError(f"source.{said[0]}: means nothing where source.path is a store of tensors; leave it out")
    units, notes = units_of_store(store, lambda part: _units(part, store, spec, tensors))
    return Listing(items=units.take(pc.sort_indices(units["_item"])), notes=notes)


def probe_stored_tensors(items: pa.Table, sample_rate: int) -> pa.Table:
    """How long units are, and their digests for fingerprints: a unit that was made anew counts as another recording.

    Args:
        items: `_item`, `_path` and `_member` of such a listing.
        sample_rate: That lengths are counted at, in Hz.

    Returns:
        A table of PROBE_SCHEMA with one row per item, in the order of `items`.

    Raises:
        SourceError: A part cannot be read.
    """
    parts = pc.unique(items["_path"])
    part = pc.index_in(items["_path"], value_set=parts).to_numpy()
    row = pc.cast(items["_member"], pa.int64()).to_numpy()
    order = np.argsort(part, kind="stable")
    runs = np.split(order, np.cumsum(np.bincount(part, minlength=len(parts)))[:-1])
    seconds, digests = np.empty(len(order)), []
    for path, run in zip(parts.to_pylist(), runs, strict=True):
        with open_table(path) as parquet:
            seconds[run] = read_column(parquet, DURATION_SECONDS).to_numpy()[row[run]]
            digests.append(read_column(parquet, ROW_DIGEST).take(pa.array(row[run])).combine_chunks())
    columns = {name: pa.nulls(len(order), PROBE_SCHEMA.field(name).type) for name in PROBE_SCHEMA.names}
    columns |= {
        "item": items["_item"],
        "fingerprint": pa.chunked_array(digests, columns["fingerprint"].type).take(pa.array(np.argsort(order))),
        "sample_rate": pa.array(np.full(len(order), sample_rate, np.int32)),
        "num_frames": pa.array(np.rint(seconds * sample_rate).astype(np.int64)),
    }
    return pa.table(columns, schema=PROBE_SCHEMA)


def _units(path: str, store: str, spec: SourceSpec, tensors: Sequence[str]) -> pa.Table:
    """The units of one part."""
    with open_table(path) as parquet:
        schema = parquet.schema_arrow
        if missing := [name for name in tensors if name not in tensor_columns(schema)]:
            raise SourceError(f"source.path: {path} has no tensor {missing[0]!r}; it has {', '.join(schema.names)}")
        num_rows = parquet.metadata.num_rows
        groups = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
        items = Items()
        items.add("_item", read_column(parquet, SAMPLE_ID))
        items.add("_path", pa.chunked_array([pa.array([path] * num_rows, pa.string())]))
        items.add("_member", pa.chunked_array([pc.cast(pa.array(np.arange(num_rows)), pa.string())]))
        group = pc.cast(pa.array(np.repeat(np.arange(len(groups)), groups)), pa.string())
        items.add("_group", pa.chunked_array([pc.binary_join_element_wise(path, group, ":")]))
        items.add("_variations", pa.chunked_array([pa.array(np.ones(num_rows, np.int64))]))
        own = tensor_columns(schema)
        passed = {*own, *(name + SHAPE_SUFFIX for name in own), *audio_columns(schema), *RESERVED_COLUMNS}
        carried = pa.schema([field for field in schema if field.name not in passed])
        describe_items(items, carried, lambda name: read_column(parquet, name), spec, where=store)
        return items.table()
