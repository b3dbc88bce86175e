"""One byte string for each Arrow value, whatever array type, chunking or slicing holds it.

Digests hash these bytes, so the encoding is part of the store's format. A row is its fixed-width pieces, column after
column, then its pieces of varying width:

* every value starts with a validity byte, so null differs from empty and from zero;
* numbers are little-endian in their own width; every NaN of metadata is the same NaN, and -0.0 differs from 0.0;
* dates are days, times and timestamps are whole seconds and nanoseconds, so the unit does not matter;
* strings, binaries and lists put their length among the fixed-width pieces, so no two rows run together;
* string, large_string and string_view are one type, and so are the list types; a dictionary is its values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes of varying length for each row."""

    data: memoryview
    offsets: NDArray[np.int64]
    """Row `i` owns `data[offsets[i]:offsets[i + 1]]`; shape `[rows + 1]`."""


@dataclass(slots=True)
class Pieces:
    """Canonical bytes of some rows."""

    fixed: list[NDArray[np.uint8]] = field(default_factory=list)
    """Arrays `[rows, width]`."""
    varying: list[Segment] = field(default_factory=list)

    def extend(self, other: "Pieces") -> None:
        """Append the pieces of more columns of the same rows."""
        self.fixed += other.fixed
        self.varying += other.varying

    def segments(self, num_rows: int) -> list[Segment]:
        """All pieces, the fixed-width ones together as the first segment."""
        matrix = np.ascontiguousarray(np.concatenate(self.fixed, axis=1))
        offsets = np.arange(num_rows + 1, dtype=np.int64) * matrix.shape[1]
        return [Segment(matrix.reshape(-1).data, offsets), *self.varying]


def canonical_type(dtype: pa.DataType) -> str:
    """Name of the type as far as it changes the canonical bytes.

    Raises:
        TypeError: Values of the type have no canonical bytes.
    """
    types = pa.types
    if isinstance(dtype, pa.BaseExtensionType):
        return canonical_type(dtype.storage_type)
    if types.is_dictionary(dtype):
        return canonical_type(dtype.value_type)
    if _is_string(dtype):
        return "string"
    if _is_binary(dtype):
        return "binary"
    if types.is_map(dtype):
        return f"list<struct<key:{canonical_type(dtype.key_type)},value:{canonical_type(dtype.item_type)}>>"
    if _is_list(dtype):
        return f"list<{canonical_type(dtype.value_type)}>"
    if types.is_struct(dtype):
        return f"struct<{','.join(f'{child.name}:{canonical_type(child.type)}' for child in dtype)}>"
    if types.is_date(dtype):
        return "date"
    if types.is_time(dtype):
        return "time"
    if types.is_duration(dtype):
        return "duration"
    if types.is_timestamp(dtype):
        return "timestamp" if dtype.tz is None else "timestamp[UTC]"
    if types.is_null(dtype) or types.is_boolean(dtype) or types.is_integer(dtype) or types.is_floating(dtype):
        return str(dtype)
    if types.is_decimal(dtype):
        return str(dtype)
    raise TypeError(f"a column of type {dtype} cannot be stored: its values have no canonical bytes; cast it first")


def canonical_pieces(array: pa.Array) -> Pieces:
    """Canonical bytes of each value of `array`.

    Raises:
        TypeError: Values of the type have no canonical bytes.
    """
    dtype, types = array.type, pa.types
    if isinstance(dtype, pa.BaseExtensionType):
        return canonical_pieces(array.storage)
    if types.is_dictionary(dtype):
        return canonical_pieces(array.dictionary_decode())
    if types.is_null(dtype):
        return Pieces([_validity(array)])
    if _is_string(dtype) or _is_binary(dtype):
        return _binary_pieces(array)
    if types.is_map(dtype):
        pair = pa.struct([pa.field("key", dtype.key_type), pa.field("value", dtype.item_type)])
        return canonical_pieces(array.cast(pa.list_(pair)))
    if _is_list(dtype):
        return _list_pieces(array)
    if types.is_struct(dtype):
        pieces = Pieces([_validity(array)])
        for child in array.flatten():
            pieces.extend(canonical_pieces(child))
        return pieces
    canonical_type(dtype)
    return Pieces([_validity(array), _as_bytes(_numbers(array))])


def _numbers(array: pa.Array) -> NDArray[Any]:
    """Fixed-width values `[rows]` or `[rows, k]` in canonical form, zero where null."""
    dtype, types = array.type, pa.types
    if types.is_boolean(dtype):
        return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False)).astype(np.uint8)
    values = _raw_values(array)
    if types.is_floating(dtype):
        return np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    if types.is_date32(dtype):
        return values.astype(np.int64)
    if types.is_date64(dtype):
        return values // 86_400_000
    if types.is_time(dtype) or types.is_timestamp(dtype) or types.is_duration(dtype):
        ticks, wide = _TICKS_PER_SECOND[dtype.unit], values.astype(np.int64)
        return np.stack([wide // ticks, wide % ticks * (10**9 // ticks)], axis=1)
    return values


def _raw_values(array: pa.Array) -> NDArray[Any]:
    """The values as they lie in memory, zero where null: `[rows]`, or `[rows, bytes]` for decimals."""
    width, types = array.type.bit_width // 8, pa.types
    if types.is_decimal(array.type):
        shape: tuple[int, ...] = (len(array), width)
        dtype = np.dtype(np.uint8)
    else:
        kind = "f" if types.is_floating(array.type) else "u" if types.is_unsigned_integer(array.type) else "i"
        shape, dtype = (len(array),), np.dtype(f"<{kind}{width}")
    buffer = array.buffers()[1]
    if buffer is None:
        return np.zeros(shape, dtype)
    count = int(np.prod(shape))
    values = np.frombuffer(buffer, dtype, count=count, offset=array.offset * width).reshape(shape)
    if array.null_count:
        values = values.copy()
        values[~_is_valid(array)] = 0
    return values


def _binary_pieces(array: pa.Array) -> Pieces:
    if pa.types.is_fixed_size_binary(array.type) and not array.null_count:
        width = array.type.byte_width
        offsets = (np.arange(len(array) + 1, dtype=np.int64) + array.offset) * width
        data = array.buffers()[1]
    else:
        large = array.cast(pa.binary()).cast(pa.large_binary()) if _is_string(array.type) else array
        large = large.cast(pa.large_binary())
        large = large.fill_null(b"") if large.null_count else large
        _, index, data = large.buffers()
        offsets = np.frombuffer(index, np.int64)[large.offset : large.offset + len(large) + 1] if index else _none()
    lengths = np.diff(offsets)
    return Pieces([_validity(array), _as_bytes(lengths)], [Segment(memoryview(data or b"").cast("B"), offsets)])


def _list_pieces(array: pa.Array) -> Pieces:
    if pa.types.is_fixed_size_list(array.type):
        lengths = _is_valid(array).astype(np.int64) * array.type.list_size
    else:
        lengths = np.asarray(pc.list_value_length(array).fill_null(0).to_numpy(), np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    items = array.flatten()
    of_items = canonical_pieces(items).segments(len(items))
    varying = [Segment(segment.data, segment.offsets[offsets]) for segment in of_items]
    return Pieces([_validity(array), _as_bytes(lengths)], varying)


def _validity(array: pa.Array) -> NDArray[np.uint8]:
    return _is_valid(array).astype(np.uint8).reshape(-1, 1)


def _is_valid(array: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def _as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Little-endian bytes of each row, `[rows, width]`."""
    little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    width = little.dtype.itemsize * (little.shape[1] if little.ndim > 1 else 1)
    return little.view(np.uint8).reshape(len(values), width)


def _none() -> NDArray[np.int64]:
    return np.zeros(1, np.int64)


def _is_string(dtype: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(dtype) or types.is_large_string(dtype) or types.is_string_view(dtype))


def _is_binary(dtype: pa.DataType) -> bool:
    types: Sequence[Any] = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(check(dtype) for check in types)


def _is_list(dtype: pa.DataType) -> bool:
    types: Sequence[Any] = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return any(check(dtype) for check in types)
