"""Items → headers: how long each recording is, read in parallel and remembered with the store.

Headers are read in child processes (`workers.guarded`): one that crashes its reader, or hangs it, costs its file alone.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.source.errors import SourceError
from workers.files import StorageUnavailableError, is_uri, stat_file
from workers.guarded.limits import GuardLimits
from workers.guarded.outcome import Died, Outcome, Raised, Value
from workers.guarded.pool import GuardPool

PROBE_SCHEMA = pa.schema(
    [
        pa.field("item", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("modified_ns", pa.int64()),
        pa.field("fingerprint", pa.binary(16)),
        pa.field("sample_rate", pa.int32()),
        pa.field("channels", pa.int32()),
        pa.field("num_frames", pa.int64()),
        pa.field("codec", pa.string()),
        pa.field("error", pa.string()),
    ]
)
READER = "workers.media.header:read_headers"

_CHUNK = 16_384
"""Items that are looked at before the next are; between chunks only columns are kept."""
_BATCH = 32
"""Files per request to a child."""
_CORES = os.cpu_count() or 1
_STAT_THREADS = 4 * _CORES
_LOCAL_CHILDREN = _CORES
_REMOTE_CHILDREN = min(8 * _CORES, 64)
"""Each waits for answers over the network most of the time."""


def probe_items(
    items: pa.Table,
    known: pa.Table | None,
    on_progress: Callable[[int], None],
    *,
    limits: GuardLimits = GuardLimits(),  # noqa: B008 (frozen)
    reader: str = READER,
) -> pa.Table:
    """Reads the headers of `items` that `known` does not hold with the same size and modification time.

    Args:
        items: columns `_item`, `_path`, `_member`, and maybe `_error`: what the source knows to be wrong with an item.
        known: an earlier result, or None.
        on_progress: called with the number of items done since the last call.
        limits: what one header may cost.
        reader: `module:name` of a function like `read_headers`.

    Returns:
        A table of PROBE_SCHEMA with one row per item, in the order of `items`. An unreadable file has its reason in
        `error` and nulls elsewhere. The modification time is that of the file; the size is that of the recording, where
        it is a member of the file.

    Raises:
        SourceError: a store of the source does not answer.
        workers.guarded.guard.GuardError: child processes cannot be started here.
    """
    remembered = _Remembered(items["_item"], known)
    remote = pc.any(pc.match_substring(items["_path"], "://")).as_py()
    size = min(_REMOTE_CHILDREN if remote else _LOCAL_CHILDREN, -(-items.num_rows // _BATCH) or 1)
    chunks = [PROBE_SCHEMA.empty_table()]
    with GuardPool(limits, size) as children, ThreadPoolExecutor(_STAT_THREADS) as threads:

        def read(places: Sequence[tuple[str, str | None]]) -> Iterator[Outcome]:
            batches = (places[start : start + _BATCH] for start in range(0, len(places), _BATCH))
            for outcomes in children.map(reader, batches):
                yield from outcomes
                on_progress(len(outcomes))

        for start in range(0, items.num_rows, _CHUNK):
            chunk = items.slice(start, _CHUNK)
            found = _find_files(chunk, threads)
            position = remembered.same(start, found)
            readable = position < 0
            readable &= np.asarray(pc.is_null(found["error"]))
            on_progress(chunk.num_rows - int(readable.sum()))
            places = chunk.select(["_path", "_member"]).filter(pa.array(readable))
            outcomes = read(list(zip(*(column.to_pylist() for column in places.columns), strict=True)))
            chunks.append(_rows(found, readable, outcomes, remembered, position))
    return pa.concat_tables(chunks)


class _Remembered:
    """An earlier result, and which of its rows each item has, -1 for none.

    Failures are looked at again, since a mount or permission may have been mended.
    """

    def __init__(self, names: pa.ChunkedArray, known: pa.Table | None) -> None:
        self.rows = PROBE_SCHEMA.empty_table() if known is None else known.filter(pc.is_null(known["error"]))
        at = pc.index_in(names, value_set=self.rows["item"])
        self._position: NDArray[np.int32] = pc.fill_null(at, -1).to_numpy()

    def same(self, start: int, found: pa.Table) -> NDArray[np.int32]:
        """The row of each found file, from item `start` on, where size and time are the same; else -1."""
        position = self._position[start : start + found.num_rows]
        before = self.rows.select(["size_bytes", "modified_ns"]).take(
            pa.array(np.maximum(position, 0), mask=position < 0)
        )
        same_size = pc.or_(pc.is_null(found["size_bytes"]), pc.equal(found["size_bytes"], before["size_bytes"]))
        same = pc.and_(same_size, pc.equal(found["modified_ns"], before["modified_ns"]))
        return np.where(np.asarray(pc.fill_null(same, False)), position, -1)


def _find_files(items: pa.Table, threads: ThreadPoolExecutor) -> pa.Table:
    """The first columns of PROBE_SCHEMA, and `error`; a file with many members is asked for once."""
    encoded = items["_path"].combine_chunks().dictionary_encode()
    files = pa.array(
        [entry for entries in threads.map(_stat_all, _slices(encoded.dictionary.to_pylist())) for entry in entries],
        pa.struct([("size", pa.int64()), ("modified_ns", pa.int64()), ("error", pa.string())]),
    ).take(encoded.indices)
    size, modified, error = files.flatten()
    member = items["_member"].combine_chunks()
    stretch = pc.struct_field(pc.extract_regex(member, r"^bytes:\d+\+(?P<length>\d+)$"), "length").cast(pa.int64())
    size = pc.if_else(pc.is_null(member), size, stretch)
    if "_error" in items.column_names:
        error = pc.coalesce(items["_error"].combine_chunks(), error)
    return pa.table({"item": items["_item"], "size_bytes": size, "modified_ns": modified, "error": error})


def _slices(paths: list[str]) -> Iterator[list[str]]:
    step = 1 if any(map(is_uri, paths[:1])) else 256
    return (paths[start : start + step] for start in range(0, len(paths), step))


def _stat_all(paths: list[str]) -> list[dict[str, Any]]:
    return [_stat(path) for path in paths]


def _stat(path: str) -> dict[str, Any]:
    try:
        if is_uri(path):
            entry = stat_file(path)
            return {"size": entry.size, "modified_ns": entry.modified_ns}
        status = os.stat(path)
    except StorageUnavailableError as error:
        raise SourceError(f"{path}: {error}") from error
    except OSError as error:
        return {"error": f"{error.strerror or error}: {path}"}
    except ValueError as error:  # a NUL, a lone surrogate, a scheme that nothing opens
        return {"error": f"{error}: {path!r}"}
    return {"size": status.st_size, "modified_ns": status.st_mtime_ns}


def _rows(
    found: pa.Table,
    readable: NDArray[np.bool_],
    outcomes: Iterator[Outcome],
    remembered: _Remembered,
    position: NDArray[np.int32],
) -> pa.Table:
    """Rows of one chunk: those read now, those remembered, and those that could not be found."""
    values = [
        row | _judge(outcome)
        for row, outcome in zip(found.filter(pa.array(readable)).to_pylist(), outcomes, strict=True)
    ]
    lost = ~readable & (position < 0)
    values += found.filter(pa.array(lost)).to_pylist()
    fresh = pa.Table.from_pylist(values, PROBE_SCHEMA)
    kept = remembered.rows.take(pa.array(position[position >= 0])).cast(PROBE_SCHEMA)
    order = np.empty(found.num_rows, np.int64)
    order[np.concatenate([np.flatnonzero(mask) for mask in (readable, lost, position >= 0)])] = np.arange(len(order))
    return pa.concat_tables([fresh, kept]).take(pa.array(order))


def _judge(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Value(header):
            info = header.info
            return {
                "size_bytes": header.num_bytes,
                "fingerprint": header.fingerprint,
                "sample_rate": info.sample_rate,
                "channels": info.channels,
                "num_frames": info.num_frames,
                "codec": info.codec,
            }
        case Raised(StorageUnavailableError.__name__, reason):
            raise SourceError(reason)
        case Raised(_, reason):
            return {"error": reason}
        case Died(kind, _, reason):
            return {"error": f"{kind}: reading its header {reason}"}
    raise TypeError(f"the reader of headers gave {outcome}; expected a Header or an exception")
