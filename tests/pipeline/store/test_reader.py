"""Rows by position, by id, by condition, and in the order of the disk."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.quarantine import Failure, write_quarantine
from pipeline.store import LatentStore
from pipeline.store.index import build_index, list_parts
from pipeline.store.manifest import Manifest, save_manifest
from pipeline.store.part import DamagedPartError
from pipeline.store.statistics import statistics_of, table_sums
from pipeline.store.writer import PartWriter


@pytest.mark.parametrize("indexed", [False, True])
def test_position_is_the_rank_of_the_id(store: Path, moments: Any, indexed: bool) -> None:
    if indexed:
        build_index(str(store))
    opened = LatentStore(store)
    assert len(opened) == 50
    for position in (0, 7, 33, -1):
        row, number = opened[position], position % 50
        assert row["sample_id"] == opened.ids[number].as_py() == f"clip-{number:05d}"
        np.testing.assert_array_equal(row["latent_mean"], moments.value("latent_mean", number))
        assert row["latent_mean"].dtype == np.float16
        assert row["seed"] == 2**64 - 1 - number
        expected = moments.table(range(number, number + 1)).to_pylist()[0]
        assert {name: row[name] for name in ("caption", "label", "tags", "empty")} == {
            name: expected[name] for name in ("caption", "label", "tags", "empty")
        }
    assert "row_digest" not in opened[0]


def test_batches_by_position_and_id(store: Path, moments: Any) -> None:
    opened = LatentStore(store)
    order = [41, 3, 3, 20, 0]
    batch = opened.read(order, ["latent_logvar", "label", "caption"])
    assert list(batch) == ["latent_logvar", "label", "caption"]
    assert batch["latent_logvar"].shape == (5, 4, 6)
    for row, number in enumerate(order):
        np.testing.assert_array_equal(batch["latent_logvar"][row], moments.value("latent_logvar", number))
    assert batch["label"].tolist() == [number % 7 for number in order]
    assert batch["caption"] == ["sound 41", "sound 3", "sound 3", None, None]
    by_id = opened.read([f"clip-{number:05d}" for number in order], ["latent_logvar"])
    np.testing.assert_array_equal(by_id["latent_logvar"], batch["latent_logvar"])
    np.testing.assert_array_equal(opened.read(np.array(order), ["label"])["label"], batch["label"])
    assert opened.read(slice(2, 8, 3), ["sample_id"])["sample_id"] == ["clip-00002", "clip-00005"]
    assert opened.by_id("clip-00009", ["label"]) == {"label": 2}
    assert opened.read([], ["latent_mean", "label"])["latent_mean"].shape == (0, 4, 6)


def test_tensors_are_the_callers_own(store: Path) -> None:
    opened = LatentStore(store)
    first = opened.read([1], ["latent_mean"])["latent_mean"]
    first[:] = 0
    assert opened.read([1], ["latent_mean"])["latent_mean"].any()


def test_wrong_keys(store: Path) -> None:
    opened = LatentStore(store)
    with pytest.raises(IndexError, match=r"position 50 is not in .*, which has 50 units"):
        opened[50]
    with pytest.raises(KeyError, match="has no unit 'clip-99999'"):
        opened.by_id("clip-99999")
    with pytest.raises(KeyError, match="has no column 'latent'; it has sample_id, source"):
        opened.read([0], ["latent"])
    assert "clip-00001" in opened
    assert "clip-1" not in opened


@pytest.mark.parametrize("batch_size", [1, 7, 15, 50, 64])
def test_iteration_gives_every_unit_once(store: Path, moments: Any, batch_size: int) -> None:
    batches = list(LatentStore(store).iter_batches(batch_size))
    assert [len(batch["sample_id"]) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    ids = [sample_id for batch in batches for sample_id in batch["sample_id"]]
    tensors = np.concatenate([batch["latent_mean"] for batch in batches])
    assert sorted(ids) == [f"clip-{row:05d}" for row in range(50)]
    for sample_id, tensor in zip(ids, tensors, strict=True):
        np.testing.assert_array_equal(tensor, moments.value("latent_mean", int(sample_id[-5:])))


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("variable_length", [False, True])
def test_large_tensors_in_every_layout(tmp_path: Path, moments: Any, variable_length: bool, compression: Any) -> None:
    shape = (64, 128)  # several row groups
    schema = moments.schema(shape, variable_length=variable_length)
    writer = PartWriter(str(tmp_path), schema, compression=compression, durable=False)
    writer.commit(moments.table(range(300), shape=shape, variable_length=variable_length))
    opened = LatentStore(tmp_path, cache_bytes=1 << 22)
    expected = [moments.value("latent_mean", row, shape, variable_length=variable_length) for row in range(300)]
    order = np.random.default_rng(0).permutation(300)[:40]
    for row, tensor in zip(order, opened.read(order, ["latent_mean"])["latent_mean"], strict=True):
        np.testing.assert_array_equal(tensor, expected[row])
    position = 0
    for batch in opened.iter_batches(77, ["latent_mean"]):
        for tensor in batch["latent_mean"]:
            np.testing.assert_array_equal(tensor, expected[position])
            position += 1
    assert position == 300


def test_selection(store: Path) -> None:
    opened = LatentStore(store)
    found = opened.select(["sample_id", "label"], where=(pc.field("label") == 3) & (pc.field("start_seconds") > 1))
    assert sorted(found.column("sample_id").to_pylist()) == ["clip-00017", "clip-00038"]
    assert found.schema.names == ["sample_id", "label"]
    assert opened.select(where=pc.field("label") == 9).num_rows == 0


def test_draw_depends_on_unit_seed_and_epoch_alone(store: Path, moments: Any) -> None:
    opened = LatentStore(store)
    drawn = opened.sample([5, 9], seed=1, epoch=0)
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(LatentStore(store).sample(["clip-00009"], seed=1, epoch=0)[0], drawn[1])
    assert not np.array_equal(opened.sample([9], seed=1, epoch=1)[0], drawn[1])
    assert not np.array_equal(opened.sample([9], seed=2, epoch=0)[0], drawn[1])
    many = np.stack([opened.sample([5], seed=1, epoch=epoch)[0] for epoch in range(2000)])
    mean, logvar = (moments.value(name, 5).astype(np.float64) for name in ("latent_mean", "latent_logvar"))
    error = np.exp(logvar / 2) / np.sqrt(2000)
    assert (np.abs(many.mean(axis=0) - mean) < 5 * error).all()
    np.testing.assert_allclose(many.std(axis=0), np.exp(logvar / 2), rtol=0.1)


def test_statistics_are_those_of_all_rows(store: Path, moments: Any) -> None:
    assert LatentStore(store).statistics == statistics_of(table_sums(moments.table(range(50)), moments.schema()))


@pytest.mark.parametrize("indexed", [False, True])
def test_copy_sees_the_parts_that_the_original_saw(store: Path, moments: Any, indexed: bool) -> None:
    if indexed:
        build_index(str(store))
    opened = LatentStore(store)
    PartWriter(str(store), moments.schema()).commit(moments.table(range(50, 60)))
    copy = pickle.loads(pickle.dumps(opened))
    assert len(copy) == len(opened) == 50
    np.testing.assert_array_equal(copy[30]["latent_mean"], opened[30]["latent_mean"])
    assert len(LatentStore(store)) == 60


def test_store_without_units(tmp_path: Path, moments: Any) -> None:
    save_manifest(str(tmp_path), Manifest.start(kind="encode", identity="0", schema=moments.schema(), environment={}))
    failure = Failure(
        sample_id="a", source="a.wav", start_seconds=0, duration_seconds=1, stage="decode", reason="empty",
        error_type="MediaError",
    )  # fmt: skip
    write_quarantine(str(tmp_path), [failure])
    opened = LatentStore(tmp_path)
    assert len(opened) == 0
    assert opened.manifest.state == "running"
    assert opened.quarantine().column("reason").to_pylist() == ["empty"]
    assert list(opened.iter_batches(4, ["latent_mean"])) == []
    assert opened.select().num_rows == 0
    assert opened.statistics.scale_factor is None
    with pytest.raises(IndexError, match="has 0 units"):
        opened[0]


def test_folder_that_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is not a store: it has none of data, manifest\.json, job\.yaml"):
        LatentStore(tmp_path)


def test_spec(store: Path) -> None:
    (store / "job.yaml").write_text("kind: encode\nseed: 3\n")
    assert LatentStore(store).spec == {"kind": "encode", "seed": 3}


def test_half_written_temporary_is_not_read(store: Path) -> None:
    (store / "data" / ".part-0.parquet.00ff.tmp").write_bytes(b"PAR1 half")
    assert len(LatentStore(store)) == 50


def test_truncated_part_is_named(store: Path) -> None:
    name = next(iter(list_parts(str(store))))
    path = store / "data" / name
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DamagedPartError, match=rf"{name} \(1,000 bytes\) is damaged"):
        len(LatentStore(store))


def test_odd_ids(tmp_path: Path, moments: Any) -> None:
    odd = ["é", "z", "💥", "a b", "", "a\nb", '"', "a/../b", "x\x00y"]
    PartWriter(str(tmp_path), moments.schema()).commit(moments.table(range(9), id_of=lambda row: odd[row]))
    opened = LatentStore(tmp_path)
    for row, sample_id in enumerate(odd):
        np.testing.assert_array_equal(opened.by_id(sample_id)["latent_mean"], moments.value("latent_mean", row))


def test_reading_imports_neither_torch_nor_ray() -> None:
    code = """
import sys
import pipeline.store
from pipeline.store import LatentStore
assert not {"torch", "ray"} & set(sys.modules)
from pipeline.store import LatentBatches, LatentDataset, LatentLoader
assert "torch" in sys.modules and "ray" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_columns(store: Path) -> None:
    opened = LatentStore(store)
    assert set(opened.tensors) == {"latent_mean", "latent_logvar"}
    assert opened.columns == [*opened.schema.names[:-1]]
    assert opened.schema.field("latent_mean").type == pa.binary(48)
