"""Other people's readers see what was written."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.store.index import build_index
from pipeline.store.reader import LatentStore


@pytest.fixture
def expected(moments: Any) -> list[dict[str, Any]]:
    return moments.table(range(50)).to_pylist()


def test_duckdb(store: Path, expected: list[dict[str, Any]]) -> None:
    duckdb = pytest.importorskip("duckdb")
    build_index(str(store))
    found = duckdb.sql(f"select * exclude (row_digest) from '{store}/data/*.parquet' order by sample_id").fetchall()
    assert [dict(zip(expected[0], row, strict=True)) for row in found] == expected
    joined = f"select file from '{store}/index.parquet' where sample_id = 'clip-00007'"
    assert (store / "data" / duckdb.sql(joined).fetchall()[0][0]).exists()


def test_polars(store: Path, expected: list[dict[str, Any]]) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.scan_parquet(store / "data" / "*.parquet").drop("row_digest").sort("sample_id").collect()
    assert frame.to_dicts() == expected


def test_hugging_face_datasets(store: Path, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    datasets = pytest.importorskip("datasets")
    files = str(store / "data" / "*.parquet")
    whole = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    rows = whole.remove_columns("row_digest").sort("sample_id")
    assert list(rows) == expected
    streamed = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    tensor = np.frombuffer(next(iter(streamed))["latent_mean"], np.float16)
    assert tensor.shape == (24,)


def test_pyarrow_dataset(store: Path, expected: list[dict[str, Any]]) -> None:
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(store / "data").to_table().sort_by("sample_id")
    assert table.drop_columns(["row_digest"]).to_pylist() == expected
    assert isinstance(table, pa.Table)


@pytest.mark.slow
def test_ray(store: Path) -> None:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        rows = LatentStore(store).to_ray(["sample_id", "latent_mean"]).take_all()
    finally:
        ray.shutdown()
    assert sorted(row["sample_id"] for row in rows) == [f"clip-{row:05d}" for row in range(50)]
    assert len(rows[0]["latent_mean"]) == 48
