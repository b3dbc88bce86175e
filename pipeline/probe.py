"""Items → headers: how long each media file is, read in parallel and remembered with the store."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from workers.media.errors import MediaError
from workers.media.probe import probe_audio

PROBE_SCHEMA = pa.schema(
    [
        pa.field("item", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("modified_ns", pa.int64()),
        pa.field("sample_rate", pa.int32()),
        pa.field("channels", pa.int32()),
        pa.field("num_frames", pa.int64()),
        pa.field("codec", pa.string()),
        pa.field("error", pa.string()),
    ]
)
_CHUNK = 256
_THREADS = 4 * (os.cpu_count() or 1)


def probe_items(items: pa.Table, known: pa.Table | None, on_progress: Callable[[int], None]) -> pa.Table:
    """Reads the headers of `items` that `known` does not hold with the same size and modification time.

    Args:
        items: columns `item`, `path`.
        known: an earlier result, or None.
        on_progress: called with the number of items done since the last call.

    Returns:
        A table of PROBE_SCHEMA with one row per item, in the order of `items`. An unreadable file has its reason in
        `error` and nulls elsewhere.
    """
    remembered = _by_item(known)

    def probe(row: tuple[str, str]) -> dict[str, object]:
        item, path = row
        try:
            stat = os.stat(path)
        except OSError as error:
            return {"item": item, "error": f"{error.strerror or error}: {path}"}
        version = (stat.st_size, stat.st_mtime_ns)
        found: dict[str, object] = {"item": item, "size_bytes": version[0], "modified_ns": version[1]}
        cached = remembered.get(item)
        if cached is not None and (cached["size_bytes"], cached["modified_ns"]) == version:
            return cached
        try:
            info = probe_audio(path)
        except MediaError as error:
            return {**found, "error": str(error)}
        return {
            **found,
            "sample_rate": info.sample_rate,
            "channels": info.channels,
            "num_frames": info.num_frames,
            "codec": info.codec,
        }

    def chunks() -> Iterator[pa.Table]:
        with ThreadPoolExecutor(_THREADS) as pool:
            for batch in items.select(["item", "path"]).to_batches(max_chunksize=_CHUNK * _THREADS):
                rows = zip(batch["item"].to_pylist(), batch["path"].to_pylist(), strict=True)
                found = list(pool.map(probe, rows))
                on_progress(len(found))
                yield pa.Table.from_pylist(found, PROBE_SCHEMA)

    return pa.concat_tables([PROBE_SCHEMA.empty_table(), *chunks()])


def _by_item(known: pa.Table | None) -> dict[str, dict[str, object]]:
    """Earlier rows by item; failures are looked at again, since a mount or permission may have been mended."""
    if known is None:
        return {}
    return {row["item"]: row for row in known.filter(pc.is_null(known["error"])).to_pylist()}
