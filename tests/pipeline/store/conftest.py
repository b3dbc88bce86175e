"""Small stores of random moments, written by `PartWriter`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.store.schema import content_schema, store_schema
from pipeline.store.writer import PartWriter
from workers.tensor_column import TensorColumn

SHAPE = (4, 6)
METADATA = pa.schema(
    [
        pa.field("caption", pa.string()),
        pa.field("label", pa.int64()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("empty", pa.null()),
    ]
)


def _schema(shape: tuple[int, ...] = SHAPE, *, variable_length: bool = False) -> pa.Schema:
    """Schema of a store of float16 moments with a few metadata columns."""
    outputs = [
        TensorColumn(name=name, shape=shape, dtype="float16", description="Moment of the posterior.")
        for name in ("latent_mean", "latent_logvar")
    ]
    return store_schema(outputs, METADATA, variable_length=variable_length)


def _table(
    rows: range,
    *,
    shape: tuple[int, ...] = SHAPE,
    variable_length: bool = False,
    id_of: Callable[[int], str] | None = None,
) -> pa.Table:
    """Content of some units; a unit's values depend on its number alone."""
    columns: dict[str, Any] = {
        "sample_id": [id_of(row) if id_of else f"clip-{row:05d}" for row in rows],
        "source": [f"sounds/{row // 3}.wav" for row in rows],
        "start_seconds": [float(row % 3) for row in rows],
        "duration_seconds": [1.5] * len(rows),
        "seed": [2**64 - 1 - row for row in rows],
        "microbatch": [8] * len(rows),
        "caption": [None if row % 4 == 0 else f"sound {row}" for row in rows],
        "label": [row % 7 for row in rows],
        "tags": [None if row % 5 == 0 else ["a"] * (row % 3) for row in rows],
        "empty": pa.nulls(len(rows)),
    }
    for name in ("latent_mean", "latent_logvar"):
        tensors = [_value(name, row, shape, variable_length=variable_length) for row in rows]
        columns[name] = [tensor.tobytes() for tensor in tensors]
        if variable_length:
            columns[f"{name}_shape"] = [list(tensor.shape) for tensor in tensors]
    return pa.table(columns, schema=content_schema(_schema(shape, variable_length=variable_length)))


def _value(name: str, row: int, shape: tuple[int, ...] = SHAPE, *, variable_length: bool = False) -> np.ndarray:
    """The tensor of a unit: float16 `shape`, its last axis longer by `row % 3` where lengths vary."""
    actual = (*shape[:-1], shape[-1] + row % 3) if variable_length else shape
    generator = np.random.default_rng([row, len(name)])
    return generator.standard_normal(actual).astype(np.float16)


@dataclass(frozen=True)
class Moments:
    """What tests build stores from."""

    schema: Callable[..., pa.Schema] = _schema
    table: Callable[..., pa.Table] = _table
    value: Callable[..., np.ndarray] = _value


@pytest.fixture
def moments() -> Moments:
    """Schema, table and tensor values of units by number."""
    return Moments()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """50 units in three parts, written in an order that is not that of their ids."""
    folder = tmp_path / "store"
    writer = PartWriter(str(folder), _schema(), durable=False)
    for rows in (range(20, 35), range(20), range(35, 50)):
        writer.commit(_table(rows))
    return folder
