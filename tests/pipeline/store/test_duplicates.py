"""A unit in two parts loses its second row, unless the two differ."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store.duplicates import ConflictingUnitsError, drop_duplicates
from pipeline.store.index import build_index, list_parts
from pipeline.store.reader import LatentStore
from pipeline.store.writer import PartWriter


def test_rows_that_repeat_are_dropped(store: Path, moments: Any) -> None:
    writer = PartWriter(str(store), moments.schema())
    writer.commit(moments.table(range(10, 25)))  # overlaps two parts
    writer.commit(moments.table(range(48, 52)))  # brings two new units
    writer.commit(moments.table(range(5)))  # brings none
    assert drop_duplicates(str(store)) == 15 + 2 + 5
    assert build_index(str(store)) == 52
    table = pq.read_table(store / "data").sort_by("sample_id")
    assert table.drop_columns(["row_digest"]).equals(moments.table(range(52)))
    assert drop_duplicates(str(store)) == 0


def test_the_statistics_count_each_unit_once(store: Path, moments: Any) -> None:
    before = LatentStore(store).statistics
    PartWriter(str(store), moments.schema()).commit(moments.table(range(10, 25)))
    drop_duplicates(str(store))
    assert LatentStore(store).statistics == before


def test_kill_before_the_old_part_is_removed(store: Path, moments: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    PartWriter(str(store), moments.schema()).commit(moments.table(range(10, 25)))
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.store.location.remove", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            drop_duplicates(str(store))
    assert len(LatentStore(store)) == 50
    drop_duplicates(str(store))
    assert build_index(str(store)) == 50


def test_rows_that_differ_are_an_error_and_nothing_changes(store: Path, moments: Any) -> None:
    other = moments.table(range(7, 8))
    other = other.set_column(other.schema.names.index("seed"), other.schema.field("seed"), pa.array([1], pa.uint64()))
    PartWriter(str(store), moments.schema()).commit(other)
    before = list_parts(str(store))
    with pytest.raises(
        ConflictingUnitsError, match=r"'clip-00007' is in part-\w+\.parquet and, with other content, in"
    ):
        drop_duplicates(str(store))
    with pytest.raises(ConflictingUnitsError, match="clip-00007"):
        len(LatentStore(store))
    assert list_parts(str(store)) == before


def test_reader_shows_a_repeated_unit_once(store: Path, moments: Any) -> None:
    PartWriter(str(store), moments.schema()).commit(moments.table(range(10, 25)))
    opened = LatentStore(store)
    assert len(opened) == 50
    ids = [sample for batch in opened.iter_batches(7) for sample in batch["sample_id"]]
    assert sorted(ids) == [f"clip-{row:05d}" for row in range(50)]
    assert opened.select(["sample_id"]).num_rows == 50
