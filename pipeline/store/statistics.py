"""Mean and standard deviation per channel of the tensors in a store, equal for any split of its rows into parts.

Floating-point sums depend on their order. These sums do not: each value, each square and each exponential is rounded
to a multiple of 2⁻²⁴ on its own (exact for float16 values), and those multiples are summed as integers. Each part
keeps its sums in its Parquet metadata, so that the statistics of a store are a sum over footers.

The channel is the axis that the tensor's column names, or the value itself for a tensor of one axis.
"""

import functools
import json
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.store.code_sums import code_counts, counted_sums
from pipeline.store.schema import SHAPE_SUFFIX, has_varying_shape, tensor_columns
from workers.spec import Spec
from workers.tensor_column import TensorColumn

METADATA_KEY = b"latentmill.sums"
_UNIT = 2.0**24
_EXACT = 2.0**53
_WORTH_COUNTING = 1 << 16  # values per channel
_BLOCK_VALUES = 1 << 15  # float64 working arrays of 256 KiB stay in the processor's cache


@dataclass(frozen=True, slots=True)
class ChannelSums:
    """Integer sums over the finite values of each channel, in units of 2⁻²⁴."""

    counts: tuple[int, ...]
    values: tuple[int, ...]
    squares: tuple[int, ...]
    exponentials: tuple[int, ...]
    """Sums of exp(value) for log-variances; empty for other tensors."""

    def __add__(self, other: Self) -> "ChannelSums":
        """Sums over both.

        Raises:
            ValueError: The numbers of channels differ.
        """
        if len(self.counts) != len(other.counts):
            raise ValueError(f"cannot add sums over {len(self.counts)} channels and over {len(other.counts)}")
        pairs = [(getattr(self, name), getattr(other, name)) for name in self.__slots__]
        return ChannelSums(*(tuple(a + b for a, b in zip(*pair, strict=True)) for pair in pairs))


class ColumnStatistics(Spec):
    """Statistics of one tensor column."""

    count: int
    """Finite values, all channels together."""
    mean: tuple[float | None, ...]
    """Per channel; none where a channel has no finite value."""
    std: tuple[float | None, ...]
    """Per channel, of the population."""


class StoreStatistics(Spec):
    """Statistics of the floating-point tensors of a store."""

    columns: dict[str, ColumnStatistics]
    scale_factor: float | None = None
    """What to multiply latents with to give them unit variance: 1/std over all values of a posterior's sample."""


def table_sums(table: pa.Table, schema: pa.Schema) -> dict[str, ChannelSums]:
    """Sums of every floating-point tensor column of `table`; `{}` for a table without rows."""
    sums: dict[str, ChannelSums] = {}
    for name, column in tensor_columns(schema).items():
        if np.dtype(column.dtype).kind == "f" and table.num_rows:
            arrays = _tensors(table, column, varying=has_varying_shape(schema, name))
            parts = [channel_sums(tensor, exponentials=name.endswith("_logvar")) for tensor in arrays]
            sums[name] = total_sums(parts)
    return sums


def channel_sums(tensors: NDArray[Any], *, exponentials: bool = False) -> ChannelSums:
    """Sums of a batch of tensors.

    Args:
        tensors: Floating-point, `[rows, channels, ...]`.
        exponentials: Also sum exp(value).
    """
    num_rows, num_channels = tensors.shape[:2]
    flat = tensors.reshape(num_rows, num_channels, -1) if tensors.size else tensors.reshape(num_rows, num_channels, 0)
    if tensors.dtype == np.float16 and flat.size >= _WORTH_COUNTING * num_channels:
        channels = (code_counts(flat[:, channel]) for channel in range(num_channels))
        columns = zip(*(counted_sums(counts, exponentials=exponentials) for counts in channels), strict=True)
        return ChannelSums(*columns, *([] if exponentials else [()]))
    step = max(1, _BLOCK_VALUES // max(1, num_channels * flat.shape[2]))
    zero = (0,) * num_channels
    total = ChannelSums(zero, zero, zero, zero if exponentials else ())
    quick: list[list[NDArray[np.int64]]] = []
    work = np.empty((2, min(step, num_rows), *flat.shape[1:]))  # allocating them anew costs more than the sums
    with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are told apart below
        for row in range(0, num_rows, step):
            block = flat[row : row + step]
            sums = _block_sums(block, exponentials, work[:, : len(block)])
            if sums is None:
                total += _big_block_sums(block, exponentials)
            else:
                quick.append([np.full(num_channels, block.shape[0] * block.shape[2]), *sums])
    if quick:
        total += ChannelSums(*(_add_up(column) for column in zip(*quick, strict=True)), *([] if exponentials else [()]))
    return total


def total_sums(parts: Iterable[ChannelSums]) -> ChannelSums:
    """The sum of at least one."""
    return functools.reduce(operator.add, parts)


def encode_sums(sums: Mapping[str, ChannelSums]) -> bytes:
    """Sums as the Parquet metadata value of a part."""
    fields = {name: {key: getattr(value, key) for key in ChannelSums.__slots__} for name, value in sums.items()}
    return json.dumps(fields, separators=(",", ":")).encode()


def decode_sums(encoded: bytes) -> dict[str, ChannelSums]:
    """The inverse of `encode_sums`."""
    return {
        name: ChannelSums(*(tuple(value[key]) for key in ChannelSums.__slots__))
        for name, value in json.loads(encoded).items()
    }


def merge_sums(parts: Iterable[Mapping[str, ChannelSums]]) -> dict[str, ChannelSums]:
    """Sums over several parts, column by column.

    Raises:
        ValueError: The parts disagree about the number of channels of a column.
    """
    merged: dict[str, ChannelSums] = {}
    for part in parts:
        for name, sums in part.items():
            merged[name] = merged[name] + sums if name in merged else sums
    return merged


def statistics_of(sums: Mapping[str, ChannelSums]) -> StoreStatistics:
    """Statistics from the sums over all parts."""
    columns = {
        name: ColumnStatistics(
            count=sum(value.counts),
            mean=tuple(_mean(s, n) for s, n in zip(value.values, value.counts, strict=True)),
            std=tuple(_std(*facts) for facts in zip(value.values, value.squares, value.counts, strict=True)),
        )
        for name, value in sums.items()
    }
    return StoreStatistics(columns=columns, scale_factor=_scale_factor(sums))


def _scale_factor(sums: Mapping[str, ChannelSums]) -> float | None:
    """1/std of a posterior's sample: its variance is that of the means plus the mean of the variances."""
    centre = sums.get("latent_mean") or sums.get("latent_sample")
    if centre is None or sum(centre.counts) == 0:
        return None
    variance = (_std(sum(centre.values), sum(centre.squares), sum(centre.counts)) or 0.0) ** 2
    spread = sums.get("latent_logvar")
    if spread is not None and sum(spread.counts) > 0:
        variance += _mean(sum(spread.exponentials), sum(spread.counts)) or 0.0
    return 1.0 / math.sqrt(variance) if variance > 0 else None


def _mean(total: int, count: int) -> float | None:
    return total / (count << 24) if count else None


def _std(total: int, squares: int, count: int) -> float | None:
    if not count:
        return None
    # n·Σx² − (Σx)² in integers, with Σx² in units of 2⁻²⁴ and Σx squared in units of 2⁻⁴⁸: no cancellation.
    scaled = max(0, count * (squares << 24) - total * total)
    return math.sqrt(scaled / ((count * count) << 48))


def _tensors(table: pa.Table, column: TensorColumn, *, varying: bool) -> Iterable[NDArray[Any]]:
    """Batches `[rows, channels, ...]` of a column; views where the channel is the first axis."""
    dtype = np.dtype(column.dtype).newbyteorder("<")
    if varying:
        shapes = table.column(column.name + SHAPE_SUFFIX).to_pylist()
        for value, shape in zip(table.column(column.name), shapes, strict=True):
            yield _channels_first(np.frombuffer(value.as_buffer(), dtype).reshape(1, *shape), column)
        return
    for chunk in table.column(column.name).chunks:
        start, size = chunk.offset * chunk.type.byte_width, len(chunk) * chunk.type.byte_width
        values = np.frombuffer(chunk.buffers()[1], dtype, size // dtype.itemsize, start)
        yield _channels_first(values.reshape(len(chunk), *column.shape), column)


def _channels_first(tensors: NDArray[Any], column: TensorColumn) -> NDArray[Any]:
    axis = column.channel_axis
    return np.moveaxis(tensors, axis if axis < 0 else axis + 1, 1)


def _block_sums(block: NDArray[Any], exponentials: bool, work: NDArray[np.float64]) -> list[NDArray[np.int64]] | None:
    """Sums of values, squares and exponentials, `[channels]` each; none where floats cannot hold them exactly."""
    values, scratch = work
    values[...] = block
    np.multiply(values, values, out=scratch)
    squares = _whole_sum(scratch)
    # |Σx| ≤ √(n·Σx²) bounds every partial sum, so the plain sum of whole numbers is exact where that stays below 2⁵³.
    if squares is None or math.sqrt(block.size * float(squares.max(initial=0)) * _UNIT) > _EXACT / 2:
        return None
    powers = _whole_sum(np.exp(values, out=scratch)) if exponentials else None
    if exponentials and powers is None:
        return None
    sums = _whole_sum(values)
    assert sums is not None  # by the bound
    return [sums, squares] if powers is None else [sums, squares, powers]


def _whole_sum(values: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Sums `[channels]` in units of 2⁻²⁴, or none where a float cannot hold one; rounds `values` in place."""
    values *= _UNIT
    np.rint(values, out=values)
    sums = np.add.reduce(np.add.reduce(values, axis=0) if len(values) > 1 else values[0], axis=1)
    # Whole numbers of one sign whose sum is below 2⁵³ were added without rounding.
    return sums.astype(np.int64) if np.all(np.abs(sums) < _EXACT) else None


def _big_block_sums(block: NDArray[Any], exponentials: bool) -> ChannelSums:
    """The same in Python's integers, whatever the values; those that are not finite are left out."""
    columns = np.moveaxis(block.astype(np.float64), 1, 0).reshape(block.shape[1], -1)
    kept = [column[np.isfinite(column)] for column in columns]
    powers = tuple(_big_sum(np.exp(column)) for column in kept) if exponentials else ()
    squares = tuple(_big_sum(column * column) for column in kept)
    return ChannelSums(tuple(map(len, kept)), tuple(map(_big_sum, kept)), squares, powers)


def _big_sum(values: NDArray[np.float64]) -> int:
    return sum(int(value) for value in np.rint(values * _UNIT) if np.isfinite(value))


def _add_up(sums: Sequence[NDArray[np.int64]]) -> tuple[int, ...]:
    """Sums `[channels]` over blocks: halves of 32 bits each, which cannot overflow, joined as Python's integers."""
    stack = np.stack(sums)
    high, low = (stack >> 32).sum(axis=0), (stack & 0xFFFFFFFF).sum(axis=0)
    return tuple((int(h) << 32) + int(w) for h, w in zip(high, low, strict=True))
