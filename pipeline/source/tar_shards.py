"""WebDataset shards: tar archives whose members are read in place.

Members that share a key, which is their path up to the first dot of its last part, are one sample:

    a/0001.flac  a/0001.json  a/0001.txt    a/0002.wav  a/0002.json      keys a/0001 and a/0002
    └ recording   └ columns    └ `text`

A shard that cannot be read to its end costs one item, which fails with the reason; so does a member that is refused.
Until all shards are read, and the types of the columns are known, each sample is a few Python objects: about 1.4 KB.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa

from pipeline.source.errors import SourceError
from pipeline.source.items import Items, describe_items
from pipeline.source.json_fields import JSON_TEXT, FieldTypes, as_array
from pipeline.source.shard_samples import Row, ShardSamples, fields_of, read_shard
from pipeline.source_spec import SourceSpec
from workers.media.media_file import bytes_member

COMPRESSED_EXTENSIONS = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_THREADS = min(32, 4 * (os.cpu_count() or 1))


def from_shards(
    paths: Sequence[str], names: Sequence[str], spec: SourceSpec
) -> tuple[pa.Table, Counter[str], tuple[str, ...]]:
    """The samples of shards as items.

    Args:
        paths: of the shards.
        names: what their samples' names begin with.
        spec: which member is the recording, and what to carry.

    Returns:
        The items, `SHARD/KEY.extension` by name; what is not used, counted by extension; and notes.

    Raises:
        SourceError: a sample has several recordings, or the fields cannot be carried.
        workers.files.StorageUnavailableError: a store does not answer.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        shards = list(pool.map(partial(read_shard, extension=spec.member_extension), paths))
    items, ignored = Items(), Counter[str]()
    for shard in shards:
        ignored += shard.ignored
    columns = {
        "_item": [
            pa.array([name + row.name for row in shard.rows], pa.string()) for name, shard in _zip(names, shards)
        ],
        "_path": [pa.array([path] * len(shard.rows), pa.string()) for path, shard in _zip(paths, shards)],
        "_member": [pa.array([_member(row) for row in shard.rows], pa.string()) for shard in shards],
        "_error": [pa.array([row.error for row in shard.rows], pa.string()) for shard in shards],
    }
    for name, chunks in columns.items():
        items.add(name, pa.chunked_array(chunks, pa.string()))
    fields, notes = _fields(shards)
    describe_items(items, fields.schema, fields.column, spec, where=f"source.path {spec.path!r}")
    return items.table(), ignored, notes


def _zip(names: Sequence[str], shards: Sequence[ShardSamples]) -> list[tuple[str, ShardSamples]]:
    return list(zip(names, shards, strict=True))


def _member(row: Row) -> str | None:
    return None if row.member is None else bytes_member(row.member.offset, row.member.size)


def _fields(shards: Sequence[ShardSamples]) -> tuple[pa.Table, tuple[str, ...]]:
    """What the members beside the recordings say, as columns, and notes on what had to be decided.

    Raises:
        SourceError: a field of the .json members has the name that another member's column has to have.
    """
    found = FieldTypes()
    for shard in shards:
        found.merge(shard.types)
    types = found.stored()
    columns: dict[str, list[pa.Array]] = {name: [] for name in types}
    for shard in shards:
        rows = [fields_of(row.texts["json"]) if "json" in row.texts else {} for row in shard.rows]
        for name, dtype in types.items():
            columns[name].append(as_array((row.get(name) for row in rows), dtype))
    notes = [
        f"source: the field {name!r} of the samples has no one type, and is carried as JSON text"
        for name, dtype in types.items()
        if dtype == JSON_TEXT
    ]
    for member, names in (("txt", ("text", "txt")), ("cls", ("cls", "class"))):
        values = [[row.texts.get(member) for row in shard.rows] for shard in shards]
        if all(value is None for shard in values for value in shard):
            continue
        free = [name for name in names if name not in columns]
        if not free:
            raise SourceError(
                f"source.path: the .json members have fields {names[0]!r} and {names[1]!r}, and there are .{member}"
                " members, whose column would have one of these names; rename a field"
            )
        name = free[0]
        if name != names[0]:
            notes.append(f"source: {names[0]!r} is a field of the .json members, so .{member} members are {name!r}")
        columns[name] = _classes(values) if member == "cls" else [pa.array(shard, pa.string()) for shard in values]
    return pa.table({name: pa.chunked_array(chunks) for name, chunks in columns.items()}), tuple(notes)


def _classes(shards: Sequence[Sequence[str | None]]) -> list[pa.Array]:
    """Classes: integers if all of them are, else texts."""
    stripped = [[None if value is None else value.strip() for value in shard] for shard in shards]
    if all(value is None or _INTEGER.fullmatch(value) for shard in stripped for value in shard):
        return [pa.array([None if value is None else int(value) for value in shard], pa.int64()) for shard in stripped]
    return [pa.array(shard, pa.string()) for shard in stripped]
