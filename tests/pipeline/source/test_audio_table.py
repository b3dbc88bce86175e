"""Parquet tables that hold the recordings themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.source import SourceError, list_source
from pipeline.source_spec import SourceSpec
from workers.media.media_file import MediaFile

Rows = Callable[..., list[dict[str, Any]]]

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def listing_of(path: object, **settings: Any) -> Any:
    return list_source(SourceSpec(path=path, **settings))


def write(file: Path, values: list[Any], *, dtype: pa.DataType = AUDIO, rows: int = 3, **columns: Any) -> Path:
    """A table with a column `audio` in row groups of so many rows."""
    file.parent.mkdir(parents=True, exist_ok=True)
    options = {name: columns.pop(name) for name in ("write_statistics",) if name in columns}
    metadata = columns.pop("metadata", None)
    table = pa.table({"audio": pa.array(values, dtype), **columns}).replace_schema_metadata(metadata)
    pq.write_table(table, file, row_group_size=rows, **options)
    return file


def content(row: dict[str, Any]) -> bytes:
    """What a decoder reads."""
    with MediaFile(row["_path"], row["_member"]) as file:
        return file.read_at(0, file.size)


def inside(count: int) -> list[dict[str, Any]]:
    return [{"bytes": b"sound %d" % number, "path": f"{number}.wav"} for number in range(count)]


def test_each_row_is_an_item_that_is_read_in_place(tmp_path: Path, listed: Rows) -> None:
    path = write(
        tmp_path / "t.parquet", inside(7), caption=[f"c{n}" for n in range(7)], tags=[[str(n)] for n in range(7)]
    )
    rows = listed(str(path))
    assert [row["_item"] for row in rows] == [f"t.parquet#{n}" for n in range(7)]
    assert [content(row) for row in rows] == [b"sound %d" % n for n in range(7)]
    assert [row["caption"] for row in rows] == [f"c{n}" for n in range(7)]
    assert rows[4]["tags"] == ["4"]
    assert [row["_group"] for row in rows] == [f"{path}:{n // 3}" for n in range(7)]
    assert listing_of(str(path)).metadata.names == ["caption", "tags"]


def test_what_huggingface_writes(tmp_path: Path, listed: Rows, clips: Path) -> None:
    files = sorted(map(str, clips.glob("*/*.wav")))[:4]
    features = datasets.Features(
        {
            "sound": datasets.Audio(decode=False),
            "cover": datasets.Image(decode=False),
            "label": datasets.ClassLabel(names=["a", "b"]),
        }
    )
    values = [{"bytes": Path(file).read_bytes(), "path": Path(file).name} for file in files]
    covers = [{"bytes": b"png", "path": "x.png"}] * 4
    columns = {"sound": values, "cover": covers, "label": [0, 1, 0, 1]}
    table = datasets.table.InMemoryTable(pa.table(columns, schema=features.arrow_schema))
    datasets.Dataset(table).to_parquet(str(tmp_path / "hf.parquet"))
    rows = listed(str(tmp_path / "hf.parquet"))
    assert [content(row) for row in rows] == [Path(file).read_bytes() for file in files]
    assert [row["label"] for row in rows] == [0, 1, 0, 1]
    listing = listing_of(str(tmp_path / "hf.parquet"))
    assert listing.metadata.names == ["label"]
    assert listing.notes == (
        "source: binary column(s) cover of the tables are not carried; list them in source.columns",
    )


@pytest.mark.parametrize("statistics", [True, False])
def test_where_bytes_are_null_the_path_is_read(tmp_path: Path, listed: Rows, statistics: bool) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/2.wav").write_bytes(b"outside 2")
    values: list[Any] = [
        *inside(2),
        {"bytes": None, "path": "sub/2.wav"},
        {"bytes": None, "path": str(tmp_path / "sub/2.wav")},
    ]
    values += [{"bytes": None, "path": None}, None, {"bytes": b"", "path": "x"}, {"bytes": None, "path": ""}]
    rows = listed(str(write(tmp_path / "t.parquet", values, rows=2, write_statistics=statistics)))
    assert [content(row) for row in rows[:4]] == [b"sound 0", b"sound 1", b"outside 2", b"outside 2"]
    nothing = "the row holds no audio: its bytes and path are null"
    assert [row["_error"] for row in rows] == [None, None, None, None, nothing, nothing, None, nothing]
    assert [row["_group"] is None for row in rows] == [False, False, True, True, True, True, False, True]
    assert rows[2]["_member"] is None


def test_tables_by_folder_pattern_and_list(tmp_path: Path, listed: Rows) -> None:
    for number in range(3):
        write(tmp_path / f"data/train-{number}.parquet", inside(2), n=[number * 2, number * 2 + 1])
    (tmp_path / "data/README.md").touch()
    expected = [f"train-{n // 2}.parquet#{n % 2}" for n in range(6)]
    for given in (
        f"{tmp_path}/data",
        f"{tmp_path}/data/train-*.parquet",
        f"{tmp_path}/data/train-{{0..2}}.parquet",
        tuple(f"{tmp_path}/data/train-{n}.parquet" for n in range(3)),
    ):
        rows = listed(given)
        assert [row["_item"] for row in rows] == expected
        assert [row["n"] for row in rows] == list(range(6))


def test_tables_without_rows_hold_no_audio(tmp_path: Path, listed: Rows) -> None:
    write(tmp_path / "a.parquet", [])
    with pytest.raises(SourceError, match=r"the tables of '.*' have no rows"):
        listed(str(tmp_path))
    write(tmp_path / "b.parquet", inside(1))
    assert [row["_item"] for row in listed(str(tmp_path))] == ["b.parquet#0"]


def test_names_and_durations_can_come_from_columns(tmp_path: Path, listed: Rows) -> None:
    path = write(tmp_path / "t.parquet", inside(2), key=["x", "y"], seconds=[1.0, 2.5], more=[1, 2])
    rows = listed(str(path), id_column="key", duration_column="seconds")
    assert [(row["_item"], row["_duration_seconds"]) for row in rows] == [("x", 1.0), ("y", 2.5)]
    assert listing_of(str(path), id_column="key", duration_column="seconds").metadata.names == ["more"]


def test_a_column_of_plain_bytes_has_to_be_named(tmp_path: Path, listed: Rows) -> None:
    path = write(tmp_path / "t.parquet", [b"one", None], dtype=pa.binary())
    with pytest.raises(SourceError, match="no column 'path'; it has audio"):
        listed(str(path))
    first, second = listed(str(path), audio_column="audio")
    assert content(first) == b"one"
    assert "no audio" in second["_error"]


def test_a_manifest_stays_a_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", inside(1), path=["a.wav"])
    assert listing_of(str(path)).items["_item"].to_pylist() == ["a.wav"]
    assert listing_of(str(path), audio_column="audio").items["_item"].to_pylist() == ["t.parquet#0"]


def test_tables_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    none = write(tmp_path / "none/t.parquet", ["a"], dtype=pa.string())
    with pytest.raises(SourceError, match=r"no column holds audio, .*; it has audio\. A manifest .* single file"):
        listing_of(str(none.parent))
    two = write(tmp_path / "two/t.parquet", inside(1), other=pa.array(inside(1), AUDIO))
    with pytest.raises(SourceError, match=r"columns audio, other hold audio; say which in source\.audio_column"):
        listing_of(str(two))
    assert listing_of(str(two), audio_column="other").metadata.names == []
    with pytest.raises(SourceError, match="no column 'sound'; it has audio, other"):
        listing_of(str(two), audio_column="sound")
    with pytest.raises(SourceError, match=r"'audio' is string; expected struct<bytes, path> or binary"):
        listing_of(str(none), audio_column="audio")
    with pytest.raises(SourceError, match="'audio' holds the audio itself; take it out"):
        listing_of(str(two), audio_column="audio", columns=("audio",))
    write(tmp_path / "odd/a.parquet", inside(1), n=[1])
    write(tmp_path / "odd/b.parquet", inside(1), n=["x"])
    with pytest.raises(SourceError, match=r"do not have the same columns: .*; list those that agree"):
        listing_of(str(tmp_path / "odd"))
    write(tmp_path / "mixed/a.parquet", inside(1))
    (tmp_path / "mixed/a.tar").touch()
    with pytest.raises(SourceError, match="give a pattern that matches one kind of file"):
        listing_of(str(tmp_path / "mixed"))


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", inside(3))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"cannot read the table '.*t\.parquet'"):
        listing_of(str(path), audio_column="audio")
