"""Two sources joined by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.source import SourceError
from pipeline.source.pairs import list_pairs
from pipeline.source_spec import SourceSpec

COLUMNS = ["_item", "_path", "_candidate_path", "_pair_status"]


def folder(path: Path, *names: str) -> SourceSpec:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path / name, np.zeros(100), 16_000)
    return SourceSpec(path=str(path))


def rows(*sources: SourceSpec, **settings: Any) -> list[tuple[str | None, ...]]:
    items = list_pairs(*sources, **{"match_by": "stem", **settings}).items
    return [tuple(value and Path(value).name for value in row.values()) for row in items.select(COLUMNS).to_pylist()]


def test_names_make_pairs_and_what_is_alone_says_so(tmp_path: Path) -> None:
    reference = folder(tmp_path / "ref", "a.wav", "b.flac", "deep/c.wav", "d.wav")
    candidate = folder(tmp_path / "out", "a.wav", "b.wav", "deep/c.ogg", "e.wav")
    assert rows(reference, candidate) == [
        ("a.wav", "a.wav", "a.wav", "ok"),
        ("b.flac", "b.flac", "b.wav", "ok"),
        ("d.wav", "d.wav", None, "no_candidate"),
        ("c.wav", "c.wav", "c.ogg", "ok"),
        ("e.wav", "e.wav", None, "no_reference"),
    ]


def test_extensions_count_where_names_have_to_agree(tmp_path: Path) -> None:
    reference = folder(tmp_path / "ref", "a.wav", "a.flac", "b.flac")
    candidate = folder(tmp_path / "out", "a.flac", "a.wav", "b.wav")
    assert [row[3] for row in rows(reference, candidate, match_by="name")] == [
        "ok",
        "ok",
        "no_candidate",
        "no_reference",
    ]
    with pytest.raises(SourceError, match=r"reference\.path: 'a\.flac' and 'a\.wav' differ in their extensions alone"):
        rows(reference, candidate)


def test_columns_come_from_the_reference(tmp_path: Path) -> None:
    folder(tmp_path, "a.wav", "b.wav")
    (tmp_path / "ref.csv").write_text("path,id,category\na.wav,x,dog\nb.wav,y,cat\n")
    (tmp_path / "out.csv").write_text("path,id,category,model\nb.wav,y,?,m\na.wav,x,?,m\n")
    sources = [SourceSpec(path=str(tmp_path / name), id_column="id") for name in ("ref.csv", "out.csv")]
    listing = list_pairs(*sources, match_by="stem")
    assert listing.items.select(["_item", "category"]).to_pylist() == [
        {"_item": "x", "category": "dog"},
        {"_item": "y", "category": "cat"},
    ]
    assert listing.metadata.names == ["category"]
    assert [Path(path).name for path in listing.items["_candidate_path"].to_pylist()] == ["a.wav", "b.wav"]


def test_sources_without_a_common_name_are_refused(tmp_path: Path) -> None:
    reference, candidate = folder(tmp_path / "ref", "a.wav"), folder(tmp_path / "out", "x/a.wav")
    with pytest.raises(SourceError, match=r"none of its 1 items .* 'a' and so on; these are called 'x/a'"):
        rows(reference, candidate)


def test_a_source_that_is_not_there_is_called_by_its_field(tmp_path: Path) -> None:
    reference = folder(tmp_path / "ref", "a.wav")
    with pytest.raises(SourceError, match=r"^candidate\.path: .*gone' does not exist"):
        rows(reference, SourceSpec(path=str(tmp_path / "gone")))
