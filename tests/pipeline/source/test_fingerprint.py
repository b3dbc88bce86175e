"""When a source need not be listed to know that it is the same."""

from pathlib import Path

import pytest

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


def test_where_files_decide_there_is_none(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fingerprint(SourceSpec(path=str(manifest))) is None
    assert fingerprint(SourceSpec(path=str(manifest.parent), duration_column="seconds")) is None
    assert fingerprint(SourceSpec(path=(str(manifest),), duration_column="seconds")) is None
    assert fingerprint(SourceSpec(path=str(manifest) + ".csv", duration_column="seconds")) is None
    monkeypatch.setattr("pipeline.source.fingerprint.MAX_BYTES", 10)
    assert fingerprint(SourceSpec(path=str(manifest), duration_column="seconds")) is None
