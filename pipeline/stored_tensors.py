"""The units of a store of mels or latents as the inputs of a job: their tensors are read, and nothing is decoded."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.failure import BlockFailure, with_failures
from pipeline.inputs import Looked
from pipeline.model_stage import Batch
from pipeline.source import Listing
from pipeline.source.stored_tensors import list_stored_tensors, probe_stored_tensors
from pipeline.source_spec import SourceSpec
from pipeline.store.cursor import PartCursor
from workers.audio.decode_spec import DecodeSpec
from workers.files import FileEntry, StorageUnavailableError, stat_file
from workers.guarded.limits import GuardLimits
from workers.media.errors import UnavailableFileError

STORED = "_stored_"
"""How the columns of a block begin that hold the bytes of tensors."""
_MOVED = "its store may have written these units elsewhere since the plan was made; run the job again"
_CACHE_BYTES = 64 << 20
"""Of decoded columns, where a part is compressed."""


@dataclass(frozen=True, slots=True)
class StoredTensors:
    """Tensors of one store."""

    source: SourceSpec
    tensors: tuple[str, ...]
    """Names of the columns that are read."""
    dtype: str
    """Of their values, a numpy name."""
    sample_rate: int
    """Of the waveforms that they were made from, in Hz."""

    @property
    def noun(self) -> str:
        """As `Inputs` says."""
        return "stored units"

    @property
    def columns(self) -> tuple[str, ...]:
        """As `Inputs` says."""
        return ("_path", "_member")

    @property
    def listed_lengths(self) -> bool:
        """Never: the store says it, but its units are looked at, since they may be other ones than in the last run."""
        return False

    @property
    def batch(self) -> Batch:
        """As `Inputs` says."""
        return partial(stored_batch, tensors=self.tensors, dtype=self.dtype)

    @property
    def decodes(self) -> bool:
        """Never: blocks are as large as what is stored."""
        return False

    def fingerprint(self) -> dict[str, Any] | None:
        """Listing has to tell; it reads ids alone."""
        return None

    def listing(self) -> Listing:
        """As `Inputs` says."""
        return list_stored_tensors(self.source, self.tensors)

    def probe(
        self,
        items: pa.Table,
        known: pa.Table | None,  # noqa: ARG002
        on_progress: Callable[[int], None],  # noqa: ARG002
        limits: GuardLimits,  # noqa: ARG002
    ) -> Looked:
        """Reads their lengths and digests."""
        return Looked(items=items, probes=probe_stored_tensors(items, self.sample_rate))

    def decoder(self, spec: DecodeSpec, limits: GuardLimits) -> Callable[[pa.Table], pa.Table]:  # noqa: ARG002
        """As `Inputs` says."""
        return partial(read_tensors, tensors=self.tensors)


def read_tensors(units: pa.Table, tensors: Sequence[str]) -> pa.Table:
    """A block of units with the bytes of their tensors, a column `STORED + name` for each.

    Args:
        units: Rows of the plan.
        tensors: Names of the stored columns.

    Returns:
        The same rows with those columns, null where a part cannot be read, and the failures of those rows.
    """
    failures: list[BlockFailure | None] = [None] * units.num_rows
    values: dict[str, list[bytes | None]] = {name: [None] * units.num_rows for name in tensors}
    paths, places = units["_path"].to_pylist(), [int(member) for member in units["_member"].to_pylist()]
    for path in dict.fromkeys(paths):
        rows = [row for row, one in enumerate(paths) if one == path]
        for row, read in zip(rows, _read(path, [places[row] for row in rows], tensors), strict=True):
            if isinstance(read, BlockFailure):
                failures[row] = read
            else:
                for name, value in zip(tensors, read, strict=True):
                    values[name][row] = value
    for name, column in values.items():
        units = units.append_column(STORED + name, pa.array(column, pa.large_binary()))
    return with_failures(units, failures)


def _read(path: str, places: list[int], tensors: Sequence[str]) -> list[tuple[bytes, ...] | BlockFailure]:
    """The tensors of some rows of a part, or why there are none; all at once, and where that fails one by one."""
    try:
        cursor = _cursor(path, stat_file(path))
        found = cursor.gather(np.zeros(len(places), np.int64), np.array(places), tensors, set(tensors))
        return [tuple(found[name][row].tobytes() for name in tensors) for row in range(len(places))]
    except (OSError, ValueError, LookupError) as error:
        if len(places) > 1:
            return [result for place in places for result in _read(path, [place], tensors)]
        reason = " ".join(str(error).split())
        is_away = isinstance(error, FileNotFoundError | PermissionError)
        return [
            BlockFailure(
                stage="decode",
                error_type=(UnavailableFileError if is_away else type(error)).__name__,
                reason=f"{reason}: {_MOVED}" if is_away else reason,
                isolate=isinstance(error, StorageUnavailableError),
            )
        ]


def stored_batch(
    block: pa.Table,
    channels: int,  # noqa: ARG001 (the worker knows)
    samples: int,
    *,
    tensors: Sequence[str],
    dtype: str,
) -> dict[str, Any]:
    """What `StoredReconstructWorker` takes, of a block that `read_tensors` made.

    Raises:
        ValueError: Tensors of one block differ in size.
    """
    return {
        **{name: _rows(name, block[STORED + name], dtype) for name in tensors},
        "num_samples": block["_num_samples"].to_numpy(),
        "bucket_samples": samples,
        "seed": block["seed"].to_numpy().view(np.int64),
    }


def _rows(name: str, column: pa.ChunkedArray, dtype: str) -> NDArray[Any]:
    """Tensors as flat rows [n, values]."""
    values = [np.frombuffer(value.as_buffer(), np.dtype(dtype).newbyteorder("<")) for value in column]
    if len(sizes := {len(value) for value in values}) > 1:
        raise ValueError(f"{name}: tensors of {min(sizes)} to {max(sizes)} values in units of one length")
    return np.stack(values).astype(dtype, copy=False)


@functools.lru_cache(maxsize=16)
def _cursor(path: str, entry: FileEntry) -> PartCursor:  # noqa: ARG001 (a part that was replaced is opened anew)
    """Reads a part, which stays open in this process from block to block."""
    return PartCursor([path], _CACHE_BYTES)
