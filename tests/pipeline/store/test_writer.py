"""One table, one part: whole, named by its units, refused if it does not match."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store.digest import row_digests
from pipeline.store.writer import PartWriter, part_name


def test_receipt_and_content(tmp_path: Path, moments: Any) -> None:
    table = moments.table(range(9))
    receipt = PartWriter(str(tmp_path), moments.schema()).commit(table)
    path = tmp_path / "data" / receipt.file
    assert (receipt.num_units, receipt.audio_seconds, receipt.num_bytes) == (9, 13.5, path.stat().st_size)
    written = pq.read_table(path)
    assert written.drop_columns(["row_digest"]).equals(table)
    assert written.column("row_digest").combine_chunks() == row_digests(table, moments.schema())
    assert written.schema.field("latent_mean").metadata[b"shape"] == b"[4, 6]"


def test_same_units_again_replace_their_part_with_the_same_bytes(tmp_path: Path, moments: Any) -> None:
    writer = PartWriter(str(tmp_path), moments.schema())
    first = writer.commit(moments.table(range(9)))
    before = (tmp_path / "data" / first.file).read_bytes()
    assert writer.commit(moments.table(range(9))) == first
    assert os.listdir(tmp_path / "data") == [first.file]
    assert (tmp_path / "data" / first.file).read_bytes() == before


def test_name_is_of_the_units_and_not_of_their_order() -> None:
    ids = pa.chunked_array([["a", "b"], ["c"]])
    assert part_name(ids) == part_name(pa.chunked_array([["c", "b", "a"]]))
    assert part_name(ids) != part_name(pa.chunked_array([["ab", "c"]]))
    assert part_name(pa.chunked_array([["a/b\n", "é", "💥", '"; drop'], [""]])).endswith(".parquet")


def test_columns_may_come_in_any_order(tmp_path: Path, moments: Any) -> None:
    table = moments.table(range(3))
    first = PartWriter(str(tmp_path / "a"), moments.schema()).commit(table)
    second = PartWriter(str(tmp_path / "b"), moments.schema()).commit(table.select(table.schema.names[::-1]))
    one, other = (tmp_path / folder / "data" / first.file for folder in "ab")
    assert one.read_bytes() == other.read_bytes()
    assert first == second


def test_layout(tmp_path: Path, moments: Any) -> None:
    receipt = PartWriter(str(tmp_path), moments.schema((1024, 16))).commit(moments.table(range(600), shape=(1024, 16)))
    metadata = pq.read_metadata(tmp_path / "data" / receipt.file)
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    assert max(group.num_rows for group in groups) * 2 * 1024 * 16 * 2 <= 8 << 20
    tensor = groups[0].column(groups[0].num_columns - 2)
    assert tensor.path_in_schema == "latent_logvar"
    assert (tensor.compression, tensor.has_dictionary_page, tensor.statistics) == ("UNCOMPRESSED", False, None)


def test_table_that_does_not_match_leaves_nothing(tmp_path: Path, moments: Any) -> None:
    writer = PartWriter(str(tmp_path), moments.schema())
    with pytest.raises(ValueError, match=r"misses 'caption' \(string\)"):
        writer.commit(moments.table(range(3)).drop_columns(["caption"]))
    table = moments.table(range(3))
    digested = table.append_column("row_digest", row_digests(table, moments.schema()))
    with pytest.raises(ValueError, match=r"has 'row_digest' .* in excess"):
        writer.commit(digested)
    with pytest.raises(ValueError, match="at least one unit"):
        writer.commit(moments.table(range(0)))
    with pytest.raises(ValueError, match=r"2 id\(s\) repeat, the first is 'clip-00001'"):
        writer.commit(pa.concat_tables([moments.table(range(3)), moments.table(range(1, 3))]))
    assert not (tmp_path / "data").exists()


def test_failed_write_leaves_nothing(tmp_path: Path, moments: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no digest today")

    monkeypatch.setattr("pipeline.store.writer.row_digests", fail)
    with pytest.raises(RuntimeError, match="no digest today"):
        PartWriter(str(tmp_path), moments.schema()).commit(moments.table(range(3)))
    assert os.listdir(tmp_path / "data") == []
