"""Stores of numbers, as a job that measures would make them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.store import LatentStore
from pipeline.store.schema import content_schema, store_schema
from pipeline.store.writer import PartWriter
from workers.number_column import NumberColumn

Values = Sequence[float | None]


@pytest.fixture
def numbers_store(tmp_path: Path) -> Callable[..., LatentStore]:
    """Writes a store of units `u000`, `u001`, … with columns of numbers; `parts` of them, in any order."""

    def make(
        columns: dict[str, Values], *, statuses: Sequence[str] = (), parts: int = 2, name: str = "s"
    ) -> LatentStore:
        count = len(next(iter(columns.values())))
        metadata = pa.schema(
            [pa.field("caption", pa.string())] + [pa.field(f"{n}_status", pa.string()) for n in statuses]
        )
        outputs = [NumberColumn(name=column, description=f"what {column} is", unit="dB") for column in columns]
        schema = store_schema(outputs, metadata, variable_length=False)
        rows = {
            "sample_id": [f"u{n:03d}" for n in range(count)],
            "source": [f"{n}.wav" for n in range(count)],
            "start_seconds": [0.0] * count,
            "duration_seconds": [1.0] * count,
            "seed": list(range(count)),
            "microbatch": [8] * count,
            "caption": [f"sound {n}" for n in range(count)],
            **{f"{n}_status": ["too_short" if value is None else "ok" for value in columns[n]] for n in statuses},
            **columns,
        }
        table = pa.table(rows, schema=content_schema(schema))
        writer = PartWriter(str(tmp_path / name), schema, durable=False)
        for which in np.array_split(np.arange(count), parts):
            writer.commit(table.take(pa.array(which)))
        return LatentStore(tmp_path / name)

    return make
