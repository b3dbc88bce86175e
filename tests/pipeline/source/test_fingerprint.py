"""When a source need not be listed to know that it is the same."""

from pathlib import Path

import pytest

import workers.files
from pipeline.source.fingerprint import fingerprint
from pipeline.source_spec import SourceSpec


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "clips.csv"
    path.write_text("path,seconds\na.wav,1\n")
    return path


def test_it_follows_the_bytes_and_the_settings(manifest: Path) -> None:
    spec = SourceSpec(path=str(manifest), duration_column="seconds")
    first = fingerprint(spec)
    assert first == fingerprint(spec)
    assert first != fingerprint(spec.model_copy(update={"columns": ("seconds",)}))
    manifest.write_text("path,seconds\na.wav,2\n")
    assert first != fingerprint(spec)


def test_the_query_of_an_address_is_no_part_of_its_extension(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SourceSpec(path=str(manifest), duration_column="seconds")
    for name in ("open_file", "stat_file"):
        real = getattr(workers.files, name)
        monkeypatch.setattr(f"pipeline.source.fingerprint.{name}", lambda _, real=real: real(str(manifest)))
    there = fingerprint(spec.model_copy(update={"path": "https://host/clips.csv?download=true"}))
    assert there is not None
    assert there["digest"] == fingerprint(spec)["digest"]  # type: ignore[index]


def test_where_files_decide_there_is_none(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fingerprint(SourceSpec(path=str(manifest))) is None
    assert fingerprint(SourceSpec(path=str(manifest.parent), duration_column="seconds")) is None
    assert fingerprint(SourceSpec(path=(str(manifest),), duration_column="seconds")) is None
    assert fingerprint(SourceSpec(path=str(manifest) + ".csv", duration_column="seconds")) is None
    monkeypatch.setattr("pipeline.source.fingerprint.MAX_BYTES", 10)
    assert fingerprint(SourceSpec(path=str(manifest), duration_column="seconds")) is None
