"""Where units are, and which are committed."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store.digest import content_digest, row_digests
from pipeline.store.index import build_index, committed_digests, committed_ids, list_parts, locate_units
from pipeline.store.part import DamagedPartError
from pipeline.store.writer import PartWriter

IDS = [f"clip-{row:05d}" for row in range(50)]


def test_index_leads_to_each_row(store: Path) -> None:
    assert build_index(str(store)) == 50
    index = pq.read_table(store / "index.parquet")
    assert index.schema.names == ["sample_id", "file", "row_group", "row"]
    assert index.column("sample_id").to_pylist() == IDS
    for entry in index.to_pylist()[::7]:
        file = pq.ParquetFile(store / "data" / entry["file"])
        assert file.read().column("sample_id")[entry["row"]].as_py() == entry["sample_id"]
        assert entry["sample_id"] in file.read_row_group(entry["row_group"]).column("sample_id").to_pylist()


def test_committed_ids_with_and_without_index(store: Path) -> None:
    assert sorted(committed_ids(str(store)).to_pylist()) == IDS
    build_index(str(store))
    assert committed_ids(str(store)).to_pylist() == IDS


def test_index_of_other_parts_is_not_believed(store: Path, moments: Any) -> None:
    build_index(str(store))
    PartWriter(str(store), moments.schema()).commit(moments.table(range(50, 53)))
    assert len(committed_ids(str(store))) == 53
    os.unlink(store / "data" / next(iter(list_parts(str(store)))))
    units = locate_units(str(store))
    assert len(units) < 53
    assert units.ids.to_pylist() == sorted(units.ids.to_pylist())


def test_damaged_index_is_not_believed(store: Path) -> None:
    (store / "index.parquet").write_bytes(b"PAR1 nonsense PAR1")
    assert sorted(committed_ids(str(store)).to_pylist()) == IDS


def test_empty_store(tmp_path: Path) -> None:
    assert committed_ids(str(tmp_path)).to_pylist() == []
    assert build_index(str(tmp_path)) == 0
    assert len(locate_units(str(tmp_path))) == 0
    assert len(content_digest(*committed_digests(str(tmp_path)))) == 64


def test_truncated_part_is_named(store: Path) -> None:
    name = list(list_parts(str(store)))[1]
    path = store / "data" / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedPartError, match=name):
        committed_ids(str(store))


def test_unit_in_two_parts_is_refused(store: Path, moments: Any) -> None:
    PartWriter(str(store), moments.schema()).commit(moments.table(range(3, 5)))
    with pytest.raises(ValueError, match=r"2 unit\(s\) are in two parts, such as 'clip-00003'"):
        build_index(str(store))


def test_content_digest_does_not_depend_on_the_parts(store: Path, moments: Any) -> None:
    table = moments.table(range(50))
    expected = content_digest(table.column("sample_id"), row_digests(table, moments.schema()))
    assert content_digest(*committed_digests(str(store))) == expected


def test_order_is_that_of_bytes(tmp_path: Path, moments: Any) -> None:
    odd = ["é", "z", "💥", "\uffff", "a b", "A", "", "a\nb", '"', "a/../b"]
    table = moments.table(range(len(odd)), id_of=lambda row: odd[row])
    PartWriter(str(tmp_path), moments.schema()).commit(table)
    ids = locate_units(str(tmp_path)).ids
    assert isinstance(ids, pa.LargeStringArray)
    assert ids.to_pylist() == sorted(odd, key=str.encode)
