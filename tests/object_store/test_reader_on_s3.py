"""A store on S3 reads like its local copy, and without fetching more than is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.store import LatentBatches, LatentDataset, LatentLoader, LatentStore, location
from pipeline.store.index import build_index, committed_ids, list_parts, locate_units
from pipeline.store.part import DamagedPartError
from pipeline.store.schema import store_schema
from pipeline.store.writer import PartWriter
from workers.tensor_column import TensorColumn

SHAPE = (8, 64, 16)
ROWS = 300
"""Per part: several row groups of 8 MiB."""


def write_store(store: str, *, compression: Any = "none", parts: int = 2) -> None:
    """Units with moments and a caption."""
    tensors = [
        TensorColumn(name=name, shape=SHAPE, dtype="float16", description="A moment.")
        for name in ("latent_mean", "latent_logvar")
    ]
    schema = store_schema(tensors, pa.schema([pa.field("caption", pa.string())]), variable_length=False)
    rng = np.random.default_rng(0)
    writer = PartWriter(store, schema, compression=compression)
    for part in range(parts):
        ids = [f"{part}-{row:04d}" for row in range(ROWS)]
        values = {
            name: pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(2 * int(np.prod(SHAPE))),
                ROWS,
                [None, pa.py_buffer(rng.standard_normal((ROWS, *SHAPE)).astype(np.float16).tobytes())],
            )
            for name in ("latent_mean", "latent_logvar")
        }
        writer.commit(
            pa.table(
                {
                    "sample_id": ids,
                    "source": ids,
                    "start_seconds": np.arange(ROWS, dtype=np.float64),
                    "duration_seconds": np.ones(ROWS),
                    "seed": pa.array(np.arange(ROWS), pa.uint64()),
                    "microbatch": pa.array(np.full(ROWS, 8), pa.int32()),
                    "caption": [f"sound {name}" for name in ids],
                    **values,
                }
            )
        )


@pytest.fixture
def stores(bucket: Any, tmp_path: Path) -> tuple[LatentStore, LatentStore]:
    """The same store here and on S3."""
    write_store(str(tmp_path / "store"))
    uri = bucket.upload(tmp_path / "store", "store")
    return LatentStore(tmp_path / "store"), LatentStore(uri)


def test_rows_are_the_same_in_every_way_of_reading(stores: tuple[LatentStore, LatentStore]) -> None:
    here, there = stores
    assert len(there) == len(here) == 2 * ROWS
    assert there.ids == here.ids
    positions = np.random.default_rng(1).permutation(len(here))[:50]
    for mine, theirs in ((here[7], there[7]), (here.by_id("1-0003"), there.by_id("1-0003"))):
        assert mine.keys() == theirs.keys()
        np.testing.assert_array_equal(mine["latent_mean"], theirs["latent_mean"])
    for mine, theirs in (
        (here.read(positions), there.read(positions)),
        (here[5:9], there[5:9]),
        *zip(here.iter_batches(64), there.iter_batches(64), strict=True),
    ):
        for name in here.columns:
            np.testing.assert_array_equal(mine[name], theirs[name])
    where = pc.field("start_seconds") > 250
    assert there.select(["sample_id", "latent_mean"], where).equals(here.select(["sample_id", "latent_mean"], where))
    assert there.statistics == here.statistics
    assert "0-0000" in there


def test_random_reads_fetch_what_is_asked_for(stores: tuple[LatentStore, LatentStore], bucket: Any) -> None:
    store = stores[1]
    positions = np.random.default_rng(2).permutation(len(store))[:32]
    store.read([0, ROWS], ["latent_mean"])
    bucket.proxy.requests.clear()
    bucket.proxy.sent_bytes = 0
    store.read(positions, ["latent_mean"])
    assert bucket.proxy.sent_bytes < 32 * 2 * (2 * int(np.prod(SHAPE)) + (64 << 10))
    assert len(bucket.proxy.requests) <= 32


def test_opening_a_part_does_not_fetch_it(stores: tuple[LatentStore, LatentStore], bucket: Any) -> None:
    store = LatentStore(stores[1].path)
    bucket.proxy.sent_bytes = 0
    assert store.schema.names
    assert len(store) == 2 * ROWS
    assert bucket.proxy.sent_bytes < 500_000


def test_reading_in_order_makes_few_requests(stores: tuple[LatentStore, LatentStore], bucket: Any) -> None:
    store = LatentStore(stores[1].path)
    assert len(store)
    bucket.proxy.requests.clear()
    rows = sum(len(batch["latent_mean"]) for batch in store.iter_batches(16, ["latent_mean", "latent_logvar"]))
    assert rows == 2 * ROWS
    groups = 2 * -(-ROWS * 2 * 2 * int(np.prod(SHAPE)) // (8 << 20))
    assert len(bucket.proxy.requests) <= 6 * groups


def test_compressed_parts_too(bucket: Any, tmp_path: Path) -> None:
    write_store(str(tmp_path / "store"), compression="zstd", parts=1)
    there = LatentStore(bucket.upload(tmp_path / "store", "store"))
    for mine, theirs in zip(LatentStore(tmp_path / "store").iter_batches(100), there.iter_batches(100), strict=True):
        np.testing.assert_array_equal(mine["latent_mean"], theirs["latent_mean"])


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_training_batches_from_worker_processes(stores: tuple[LatentStore, LatentStore], context: str) -> None:
    def batches(store: LatentStore, workers: int) -> list[Any]:
        assert store[0]["latent_mean"].shape == SHAPE  # the parent has open files of its own
        loader = LatentLoader(
            store,
            batch_size=64,
            columns=["latent_mean"],
            seed=3,
            num_workers=workers,
            multiprocessing_context=context if workers else None,
        )
        return [batch["latent_mean"].numpy() for batch in loader]

    for mine, theirs in zip(batches(stores[0], 0), batches(stores[1], 2), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(LatentDataset(stores[1])) == len(LatentDataset(stores[0]))
    assert len(LatentBatches(stores[1], 64)) == len(LatentBatches(stores[0], 64))


def test_commit_and_index(bucket: Any, tmp_path: Path) -> None:
    for store in (f"{bucket.uri}/deep/store", str(tmp_path / "store")):
        write_store(store)
        assert build_index(store) == 2 * ROWS
    assert list_parts(f"{bucket.uri}/deep/store") == list_parts(str(tmp_path / "store"))
    for name in list_parts(str(tmp_path / "store")):
        assert bucket.read(f"deep/store/data/{name}") == (tmp_path / "store" / "data" / name).read_bytes()
    bucket.proxy.requests.clear()
    assert len(locate_units(f"{bucket.uri}/deep/store")) == len(committed_ids(f"{bucket.uri}/deep/store")) == 2 * ROWS
    assert not [request for request in bucket.proxy.requests if "part-" in request]


def test_a_part_cut_short_is_named(stores: tuple[LatentStore, LatentStore], bucket: Any) -> None:
    [first, _] = list_parts(stores[1].path)
    data = bucket.read(f"store/data/{first}")
    bucket.write(f"store/data/{first}", data[: len(data) // 2])
    with pytest.raises(DamagedPartError, match=rf"s3://.*{first} \({len(data) // 2:,} bytes\) is damaged"):
        committed_ids(stores[1].path)


def test_reading_survives_faults(
    stores: tuple[LatentStore, LatentStore], bucket: Any, secrets_in: Callable[[str], list[str]]
) -> None:
    store = LatentStore(stores[1].path)
    for fault in ({"status": 503}, {"status": 500}, {"cut": True}, {"delay_seconds": 0.02}):
        bucket.proxy.add(times=4, **fault)
    for mine, theirs in zip(stores[0].iter_batches(100), store.iter_batches(100), strict=True):
        np.testing.assert_array_equal(mine["latent_mean"], theirs["latent_mean"])
    assert all(fault.happened == fault.times for fault in bucket.proxy.faults)
    assert not secrets_in(repr(store))


def test_a_store_that_is_not_there(bucket: Any) -> None:
    with pytest.raises(FileNotFoundError, match=r"s3://.*/nothing is not a store"):
        LatentStore(f"{bucket.uri}/nothing")
    assert location.list_files(f"{bucket.uri}/nothing") == {}
