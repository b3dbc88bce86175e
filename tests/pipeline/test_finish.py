"""The end of a job: plan = store + quarantine, or a refusal that says what is amiss."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.finish import IncompleteStoreError, finish
from pipeline.planned import Plan
from pipeline.quarantine import Failure, read_quarantine, write_quarantine
from pipeline.seeds import unit_seed
from pipeline.store.digest import content_digest
from pipeline.store.index import list_parts
from pipeline.store.manifest import Manifest, load_manifest
from pipeline.store.schema import store_schema
from pipeline.store.writer import PartWriter
from workers.tensor_column import TensorColumn

SCHEMA = store_schema(
    [TensorColumn(name="value", shape=(1,), dtype="float32", description="a number")],
    pa.schema([]),
    variable_length=False,
)
MANIFEST = Manifest.start(kind="mel", identity="0", schema=SCHEMA, environment={})


def plan_of(*names: str) -> Plan:
    count = len(names)
    columns: dict[str, Any] = {
        "sample_id": pa.array(names, pa.string()),
        "duration_seconds": pa.array([0.1] * count, pa.float64()),
        "seed": pa.array([unit_seed(0, name, "unit") for name in names], pa.uint64()),
        "_bucket_samples": pa.array([16] * count, pa.int64()),
        "_bucket_channels": pa.array([1] * count, pa.int32()),
        "_probe_error": pa.nulls(count, pa.string()),
    }
    return Plan.of(pa.table(columns))


def commit(store: Path, *names: str) -> None:
    columns: dict[str, Any] = {"sample_id": names, "source": names}
    columns["seed"] = [unit_seed(0, name, "unit") for name in names]
    columns |= {name: [0.1] * len(names) for name in ("start_seconds", "duration_seconds")}
    columns |= {"microbatch": [2] * len(names), "value": [b"\0" * 4] * len(names)}
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    PartWriter(str(store), SCHEMA).commit(pa.table(columns, schema=schema))


def fail(store: Path, *names: str) -> None:
    facts: dict[str, Any] = {"start_seconds": 0.0, "duration_seconds": 0.1, "stage": "decode", "reason": "no"}
    failures = [Failure(sample_id=name, source=name, error_type="MediaError", **facts) for name in names]
    write_quarantine(str(store), failures)


def test_totals_index_and_digest(tmp_path: Path) -> None:
    commit(tmp_path, "d", "b")
    commit(tmp_path, "a")
    fail(tmp_path, "c")
    manifest = finish(str(tmp_path), plan_of("c", "b", "a", "d"), MANIFEST)
    assert manifest == load_manifest(str(tmp_path))
    assert manifest.state == "complete"
    totals = manifest.totals
    assert (totals.num_units, totals.num_quarantined, totals.num_parts) == (3, 1, 2)
    assert totals.num_bytes == sum(list_parts(str(tmp_path)).values())
    assert totals.audio_seconds == pytest.approx(0.3, abs=1e-15)
    assert pq.read_table(tmp_path / "index.parquet")["sample_id"].to_pylist() == ["a", "b", "d"]
    rows = pa.concat_tables([pq.read_table(path) for path in sorted((tmp_path / "data").iterdir())])
    assert manifest.content_digest == content_digest(rows["sample_id"], rows["row_digest"])


def test_units_that_are_there_twice_or_were_made_after_all_count_once(tmp_path: Path) -> None:
    commit(tmp_path, "a", "b")
    commit(tmp_path, "b", "c")
    fail(tmp_path, "c", "d")
    totals = finish(str(tmp_path), plan_of("a", "b", "c", "d"), MANIFEST).totals
    assert (totals.num_units, totals.num_quarantined) == (3, 1)
    assert read_quarantine(str(tmp_path))["sample_id"].to_pylist() == ["d"]


def test_what_is_missing_and_what_is_too_much_is_named(tmp_path: Path) -> None:
    commit(tmp_path, "a", "x")
    fail(tmp_path, "y")
    with pytest.raises(
        IncompleteStoreError,
        match=r"2 unit\(s\) of the plan are missing, such as 'c' and 2 unit\(s\) are not in the plan, such as 'x'; run",
    ):
        finish(str(tmp_path), plan_of("c", "a", "b"), MANIFEST)
    assert not (tmp_path / "manifest.json").exists()
