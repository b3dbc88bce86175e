"""What names units of a store: positions, ids, or a slice of positions."""

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.store.sorted_ids import SortedIds

Keys: TypeAlias = int | np.integer[Any] | str | Sequence[int] | Sequence[str] | slice | NDArray[Any] | pa.Array


def one_position(key: object) -> int:
    """The integer that `key` is.

    Raises:
        TypeError: It is none, such as a float, an id or a list.
    """
    try:
        return operator.index(key)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"store[...] takes a position (an integer) or a slice of positions, not {_described(key)}; "
            f"by_id takes an id, read takes several of either"
        ) from None


def positions_of(keys: Keys, ids: SortedIds, store: str) -> NDArray[np.int64]:
    """Positions among `ids` of what `keys` name, `[n]`; from 0.

    Args:
        keys: Positions, of which negative ones count from the end, or ids; one or several.
        ids: Of all units.
        store: Its path, for the messages.

    Raises:
        IndexError: A position is out of range.
        KeyError: An id is not in the store; the message names ids like it.
        TypeError: Keys are neither integers nor strings.
    """
    if isinstance(keys, slice):
        return np.arange(*keys.indices(len(ids)), dtype=np.int64)
    several: Any = [keys] if np.isscalar(keys) else keys
    if isinstance(several, pa.Array | pa.ChunkedArray):
        several = several.to_pylist()
    elif isinstance(several, np.ndarray) and several.dtype.kind in "OTU":
        several = several.reshape(-1).tolist()
    if isinstance(several, Sequence) and len(several) and isinstance(several[0], str):
        return np.array([_find(key, ids, store) for key in several], np.int64)
    positions = np.asarray(several).reshape(-1)
    if positions.size and positions.dtype.kind not in "iu":
        mask = "; np.flatnonzero gives the positions in a mask" if positions.dtype.kind == "b" else ""
        raise TypeError(f"units are named by positions (integers) or ids (strings), not by {_described(keys)}{mask}")
    wrong = (positions < -len(ids)) | (positions >= len(ids))
    if wrong.any():
        raise IndexError(f"position {positions[wrong][0]} is not in {store}, which has {len(ids):,} units")
    positions = positions.astype(np.int64)
    return np.where(positions < 0, positions + len(ids), positions)


def _find(key: object, ids: SortedIds, store: str) -> int:
    if not isinstance(key, str):
        raise TypeError(f"units are named by positions (integers) or ids (strings), not by both: {_described(key)}")
    position = ids.find(key)
    if position is None:
        near = ", ".join(map(repr, ids.like(key)))
        raise KeyError(f"{store} has no unit {key!r}" + (f"; it has {near}" if near else ""))
    return position


def _described(key: object) -> str:
    """Type and value, shortened."""
    value = repr(key)
    return f"{type(key).__name__} {value if len(value) <= 60 else value[:57] + '...'}"
