"""Reads a store: by position, by id, by condition, or all of it in the order of the disk.

Position `i` is the unit with the `i`-th smallest `sample_id`. It does not depend on how many workers made the store or
into how many parts they cut it, so a training run that names positions is reproduced on any copy of the content.

Uncompressed parts are memory-mapped where they are local and a tensor is copied straight from its place in the file:
nothing else of its row group is read. Of a store at a URI the same places are fetched, those of a batch at once, and in
reading all of it the next ones ahead. Compressed parts work as well, one decoded row group at a time.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from pipeline.store import location
from pipeline.store.cursor import Batch, PartCursor, join_batches, single_row
from pipeline.store.draw import MOMENTS, draw_latents
from pipeline.store.duplicates import first_rows_only, repeats
from pipeline.store.index import Units, list_parts, locate_units
from pipeline.store.keys import Keys, one_position, positions_of
from pipeline.store.manifest import Manifest, load_manifest
from pipeline.store.schema import ROW_DIGEST, SAMPLE_ID, SEED, tensor_columns
from pipeline.store.sorted_ids import SortedIds
from pipeline.store.statistics import METADATA_KEY, StoreStatistics, decode_sums, merge_sums, statistics_of
from workers.files import absolute, is_uri
from workers.tensor_column import TensorColumn

if TYPE_CHECKING:
    import ray.data


class LatentStore:
    """A store opened for reading, as it was at that moment; a job may go on adding parts to it.

    A row is a dict by column name: tensors are numpy arrays of their stored shape and dtype, writable and the caller's
    own; other columns are Python values, or numpy arrays in a batch where they are numbers without nulls.

    It can be pickled and forked: a copy opens its own files, on the same parts.
    """

    def __init__(self, path: str | os.PathLike[str], *, cache_bytes: int = 1 << 30) -> None:
        """Open a store.

        Args:
            path: Its folder or URI. It need not be complete; an empty store has no rows.
            cache_bytes: Bound on decoded columns kept in memory: metadata, and tensors that cannot be read in place.

        Raises:
            FileNotFoundError: There is no store at `path`.
            pipeline.store.part.DamagedPartError: A part is cut short; the message names it.
        """
        given = os.fspath(path)
        self.path = absolute(given) if is_uri(given) else given
        self._cache_bytes = cache_bytes
        names = (location.DATA, location.MANIFEST, location.JOB)
        if not any(location.exists(location.join(self.path, name)) for name in names):
            raise FileNotFoundError(f"{self.path} is not a store: it has none of {', '.join(names)}")
        self._parts: dict[str, int] = list_parts(self.path)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to open the same rows."""
        return {"path": self.path, "_cache_bytes": self._cache_bytes, "_parts": self._parts}

    def __len__(self) -> int:
        """Number of units."""
        return len(self._units)

    def __repr__(self) -> str:
        """Path and size."""
        return f"LatentStore({self.path!r}, {len(self):,} units in {len(self._parts):,} parts)"

    # ── what it holds ────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow schema of the parts; without fields while no unit is committed."""
        return self._cursor.part(0).schema.remove_metadata() if self._parts else pa.schema([])

    @cached_property
    def tensors(self) -> dict[str, TensorColumn]:
        """The tensor columns by name."""
        return tensor_columns(self.schema)

    @property
    def columns(self) -> list[str]:
        """Names of all columns but the digest."""
        return [name for name in self.schema.names if name != ROW_DIGEST]

    @property
    def ids(self) -> pa.LargeStringArray:
        """The ids in order: `ids[i]` is the unit at position `i`."""
        return self._units.ids

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The resolved job spec that made the store.

        Raises:
            FileNotFoundError: The store has no `job.yaml`.
        """
        spec = yaml.safe_load(location.read_bytes(location.join(self.path, location.JOB)))
        assert isinstance(spec, dict)
        return spec

    @property
    def manifest(self) -> Manifest:
        """The manifest as it is now; `state` says whether the job is complete.

        Raises:
            FileNotFoundError: The store has none.
            ValueError: It is damaged, or of a newer format.
        """
        return load_manifest(self.path)

    @cached_property
    def statistics(self) -> StoreStatistics:
        """Mean and standard deviation per channel of each tensor, and the latents' scale factor, over these parts."""
        footers = (self._cursor.part(part).metadata.metadata or {} for part in range(len(self._parts)))
        return statistics_of(merge_sums(decode_sums(footer[METADATA_KEY]) for footer in footers))

    def quarantine(self) -> pa.Table:
        """The units that failed, with stage and reason (`pipeline.quarantine.QUARANTINE_SCHEMA`)."""
        from pipeline.quarantine import read_quarantine

        return read_quarantine(self.path)

    # ── rows by key ──────────────────────────────────────────────────────────────────────────────────────────────────

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> Batch: ...
    def __getitem__(self, key: int | np.integer[Any] | slice) -> dict[str, Any] | Batch:
        """The unit at a position, of which negative ones count from the end, or the batch of a slice of positions.

        Raises:
            IndexError: There is no such position.
            TypeError: The key is neither an integer nor a slice.
        """
        return self.read(key) if isinstance(key, slice) else single_row(self.read([one_position(key)]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The units in order of position; `iter_batches` is quicker."""
        for position in range(len(self)):
            yield self[position]

    def __contains__(self, sample_id: object) -> bool:
        """Whether there is a unit of that id."""
        return isinstance(sample_id, str) and self._ids.find(sample_id) is not None

    def by_id(self, sample_id: str, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """The unit with an id.

        Raises:
            KeyError: There is none; the message names ids like it.
        """
        return single_row(self.read([sample_id], columns))

    def positions(self, keys: Keys) -> NDArray[np.int64]:
        """Positions of units, `[n]`.

        Args:
            keys: Positions or ids, one or several (a sequence or array), or a slice of positions.

        Raises:
            IndexError: A position is out of range.
            KeyError: An id is not in the store.
            TypeError: Keys are neither integers nor strings.
        """
        return positions_of(keys, self._ids, self.path)

    def read(self, keys: Keys, columns: Sequence[str] | None = None) -> Batch:
        """Several units, in the order of `keys`.

        Args:
            keys: As in `positions`; the same one may be there more than once.
            columns: Names of the columns; all but the digest if none.

        Returns:
            For each column a tensor `[n, *shape]` (a list of n tensors where shapes vary), an array `[n]` of numbers,
            or a list of n Python values.

        Raises:
            IndexError, KeyError: A key is not in the store, or a column is not.
            TypeError: Keys are neither integers nor strings.
        """
        names = self._known(columns)
        positions = self.positions(keys)
        return self._cursor.gather(self._units.file[positions], self._units.row[positions], names, set(self.tensors))

    def sample(self, keys: Keys, *, seed: int, epoch: int) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """Latents drawn from the stored posteriors: mean + exp(logvar / 2) · noise.

        The noise of a unit depends on `seed`, `epoch` and the unit alone, not on what else is read, where, or when.

        Args:
            keys: As in `positions`.
            seed: Of the training run.
            epoch: Another epoch gives other noise.

        Returns:
            float32 `[n, *shape]`, unscaled; a list of n where shapes vary.

        Raises:
            KeyError: The store does not hold moments (`latent_mean` and `latent_logvar`).
        """
        moments = self.read(keys, [SEED, *MOMENTS])
        return draw_latents(*(moments[name] for name in (SEED, *MOMENTS)), seed=seed, epoch=epoch)

    # ── many rows ────────────────────────────────────────────────────────────────────────────────────────────────────

    def iter_batches(self, batch_size: int, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """All units once, in the order in which they lie on the disk; the last batch may be short.

        Args:
            batch_size: Units per batch, at least 1.
            columns: Names of the columns; all but the digest if none.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        names = self._known(columns)
        pending: list[Batch] = []
        missing = batch_size
        for part, start, stop in self._units.runs():
            while start < stop:
                count = min(missing, stop - start)
                pending.append(self._cursor.span(part, start, start + count, names, set(self.tensors)))
                start, missing = start + count, missing - count
                if not missing:
                    yield join_batches(pending)
                    pending, missing = [], batch_size
        if pending:
            yield join_batches(pending)

    def select(self, columns: Sequence[str] | None = None, where: Any = None) -> pa.Table:
        """The rows that meet a condition, as an Arrow table in the order of the disk.

        Args:
            columns: Names of the columns; all but the digest if none. Tensors are their bytes.
            where: A `pyarrow.compute` expression over any columns, such as `pc.field("duration_seconds") > 5`.
        """
        import pyarrow.dataset

        names = self._known(columns)
        if not self._parts:
            return pa.table({})
        paths, filesystem = location.arrow_files(self._paths)
        dataset = pyarrow.dataset.dataset(paths, schema=self.schema, format="parquet", filesystem=filesystem)
        found = dataset.to_table(columns=[*dict.fromkeys([*names, SAMPLE_ID])], filter=where)
        if len(self) < dataset.count_rows():
            found = found.filter(pa.array(~repeats(found.column(SAMPLE_ID))))
        return found.select(names)

    def to_ray(self, columns: Sequence[str] | None = None) -> "ray.data.Dataset":
        """A Ray dataset of the store's rows; tensors are their bytes.

        Raises:
            ValueError: The store holds no units.
        """
        if not self._parts:
            raise ValueError(f"{self.path} holds no units; there is nothing to make a dataset of")
        import ray.data

        paths, filesystem = location.arrow_files(self._paths)
        return ray.data.read_parquet(paths, filesystem=filesystem).select_columns(self._known(columns))

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _paths(self) -> list[str]:
        return [location.join(self.path, location.DATA, name) for name in self._parts]

    @cached_property
    def _cursor(self) -> PartCursor:
        return PartCursor(self._paths, self._cache_bytes)

    @cached_property
    def _units(self) -> Units:
        return first_rows_only(self.path, locate_units(self.path, self._parts))

    @cached_property
    def _ids(self) -> SortedIds:
        return SortedIds(self._units.ids)

    def _known(self, columns: Sequence[str] | None) -> list[str]:
        if columns is None:
            return self.columns
        unknown = [name for name in columns if name not in self.schema.names]
        if unknown and self._parts:
            raise KeyError(f"{self.path} has no column {unknown[0]!r}; it has {', '.join(self.schema.names)}")
        return list(columns)
