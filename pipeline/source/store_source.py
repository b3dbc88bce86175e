"""A store that latentmill made and that holds audio, as the source of another job: each of its units is an item."""

import json
from collections.abc import Callable

import pyarrow as pa

from pipeline.source.audio_table import audio_columns, open_table, place_rows
from pipeline.source.errors import SourceError
from pipeline.source.items import RESERVED_COLUMNS, describe_items, require_columns
from pipeline.source.manifest import read_column
from pipeline.source_spec import SourceSpec
from pipeline.store import location
from pipeline.store.duplicates import repeats
from pipeline.store.index import list_parts
from pipeline.store.manifest import load_manifest
from pipeline.store.schema import SAMPLE_ID, SHAPE_SUFFIX, tensor_columns


def is_store(path: str) -> bool:
    """Whether a folder is a store, going by its manifest.

    Raises:
        OSError: what lies there cannot be read.
    """
    try:
        manifest = json.loads(location.read_bytes(location.join(path, location.MANIFEST)))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and {"format_version", "identity"} <= manifest.keys()


def from_store(spec: SourceSpec) -> tuple[pa.Table, tuple[str, ...]]:
    """The units of a store as items, called after their ids.

    Returns:
        The items, with `_group`; and notes.

    Raises:
        SourceError: it holds no audio, or its columns cannot be carried.
    """
    store = str(spec.path)
    return units_of_store(store, lambda part: _units(part, store, spec))


def units_of_store(store: str, read: Callable[[str], pa.Table]) -> tuple[pa.Table, tuple[str, ...]]:
    """The units of all parts of a store, each once.

    Args:
        store: Its folder or URI.
        read: Gives those of the part at a path, as items called after their ids.

    Returns:
        The items; and notes.

    Raises:
        SourceError: There are none, or the manifest cannot be read.
    """
    try:
        state = load_manifest(store).state
    except ValueError as error:
        raise SourceError(f"source.path: {error}") from error
    tables = [read(location.join(store, location.DATA, part)) for part in list_parts(store)]
    if not tables:
        raise SourceError(f"source.path: the store {store} holds no units yet; run its job first")
    units = pa.concat_tables(tables)
    twice = repeats(units["_item"])
    units = units.filter(pa.array(~twice)) if twice.any() else units
    unfinished = f"source: the store {store} is {state}, not complete; its {units.num_rows:,} units are read"
    return units, () if state == "complete" else (unfinished,)


def _units(path: str, store: str, spec: SourceSpec) -> pa.Table:
    """The units of one part."""
    with open_table(path) as parquet:
        schema = parquet.schema_arrow
        column = _audio_column(schema, store, spec)
        items = place_rows(parquet, column, path)
        items.add("_item", read_column(parquet, SAMPLE_ID))
        tensors = tensor_columns(schema)
        others = set(audio_columns(schema)) - set(spec.columns or ())
        passed = {column, *others, *tensors, *(name + SHAPE_SUFFIX for name in tensors), *RESERVED_COLUMNS}
        carried = pa.schema([field for field in schema if field.name not in passed])
        describe_items(items, carried, lambda name: read_column(parquet, name), spec, where=store)
        return items.table()


def _audio_column(schema: pa.Schema, store: str, spec: SourceSpec) -> str:
    """The column of audio.

    Raises:
        SourceError: there is none, or which one is not said.
    """
    require_columns(schema, [spec.audio_column], store)
    found = audio_columns(schema)
    if spec.audio_column in found:
        return spec.audio_column
    if not found or spec.audio_column:
        holds = ", ".join(tensor_columns(schema)) or "no tensors"
        what = f"its column {spec.audio_column!r} is no audio" if spec.audio_column else "no audio that could be read"
        raise SourceError(
            f"source.path: {store} is a store of {holds}, and {what}; give the recordings that it was made from:"
            f" source.path in {location.join(store, location.JOB)}"
        )
    if len(found) > 1:
        raise SourceError(
            f"source.path: columns {', '.join(found)} of {store} hold audio; choose in source.audio_column"
        )
    return found[0]
