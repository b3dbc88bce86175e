"""Reading headers in parallel, and remembering them."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

import pipeline.probe
from pipeline.probe import PROBE_SCHEMA, probe_items


def items_of(folder: Path, *names: str) -> pa.Table:
    return pa.table({"_item": list(names), "_path": [str(folder / name) for name in names]})


def ignore(_: int) -> None:
    pass


def test_headers_and_reasons(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.flac", np.zeros((4410, 2)), 44_100)
    (tmp_path / "text.wav").write_text("this is no recording")
    (tmp_path / "empty.wav").touch()
    seen: list[int] = []
    probes = probe_items(items_of(tmp_path, "good.flac", "text.wav", "empty.wav", "gone.wav"), None, seen.append)
    assert probes.schema == PROBE_SCHEMA
    assert sum(seen) == 4
    good, text, empty, gone = probes.to_pylist()
    assert (good["sample_rate"], good["channels"], good["num_frames"], good["error"]) == (44_100, 2, 4410, None)
    assert good["size_bytes"] == os.path.getsize(tmp_path / "good.flac")
    assert text["error"]
    assert "empty" in empty["error"]
    assert gone["error"] == f"No such file or directory: {tmp_path / 'gone.wav'}"


def test_only_what_changed_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(100), 8000)
    (tmp_path / "c.wav").write_text("no audio yet")
    items = items_of(tmp_path, "a.wav", "b.wav", "c.wav")
    first = probe_items(items, None, ignore)
    soundfile.write(tmp_path / "b.wav", np.zeros(300), 8000)

    opened: list[str] = []
    real = pipeline.probe.probe_audio
    monkeypatch.setattr(pipeline.probe, "probe_audio", lambda path: (opened.append(path), real(path))[1])
    second = probe_items(items, first, ignore)
    assert sorted(os.path.basename(path) for path in opened) == ["b.wav", "c.wav"]
    assert second["num_frames"].to_pylist() == [100, 300, None]


def test_no_items(tmp_path: Path) -> None:
    assert probe_items(
        items_of(tmp_path).cast(pa.schema([("_item", "string"), ("_path", "string")])), None, ignore
    ) == (PROBE_SCHEMA.empty_table())
