"""Reading headers in parallel, and remembering them."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

import pipeline.probe
from pipeline.probe import PROBE_SCHEMA, probe_items
from pipeline.source.errors import SourceError
from workers.guarded.limits import GuardLimits

FAULTS = Path(__file__).parents[1] / "faults"


def items_of(folder: Path, *names: str, members: list[str | None] | None = None) -> pa.Table:
    schema = pa.schema([("_item", "string"), ("_path", "string"), ("_member", "string")])
    members = members or [None] * len(names)
    table = {"_item": [f"{n}{m or ''}" for n, m in zip(names, members, strict=True)]}
    return pa.table(table | {"_path": [str(folder / name) for name in names], "_member": members}, schema=schema)


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


@pytest.fixture
def opened(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of the files that `faulty_media:read_headers` opens."""
    monkeypatch.syspath_prepend(FAULTS)
    log = tmp_path_factory.mktemp("log") / "opened"
    monkeypatch.setenv("FAULTY_MEDIA_LOG", str(log))
    return log


def test_only_what_changed_is_opened_again(tmp_path: Path, opened: Path) -> None:
    for name in ("a.wav", "b.wav", "d.wav"):
        soundfile.write(tmp_path / name, np.zeros(100), 8000)
    (tmp_path / "c.wav").write_text("no audio yet")
    items = items_of(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
    first = probe_items(items, None, ignore)
    soundfile.write(tmp_path / "b.wav", np.zeros(300), 8000)
    os.utime(tmp_path / "d.wav", ns=(1, 1))
    (tmp_path / "e.wav").touch()

    items = items_of(tmp_path, "e.wav", "d.wav", "c.wav", "b.wav", "a.wav")
    seen: list[int] = []
    second = probe_items(items, first, seen.append, reader="faulty_media:read_headers")
    assert sorted(os.path.basename(path) for path in opened.read_text().split()) == ["b.wav", "c.wav", "d.wav", "e.wav"]
    assert second["num_frames"].to_pylist() == [None, 100, None, 300, 100]
    assert second["item"].to_pylist() == items["_item"].to_pylist()
    assert second["modified_ns"].to_pylist()[1] == 1
    assert second.schema == PROBE_SCHEMA
    assert sum(seen) == 5


def test_many_files_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.probe, "_CHUNK", 64)
    monkeypatch.setattr(pipeline.probe, "_BATCH", 5)
    for number in range(150):
        soundfile.write(tmp_path / f"{number}.wav", np.zeros(number), 8000)  # the first is empty, which is an error
    names = [f"{number}.wav" for number in range(150)]
    seen: list[int] = []
    probes = probe_items(items_of(tmp_path, *names), None, seen.append)
    assert probes["item"].to_pylist() == names
    assert probes["num_frames"].to_pylist() == [None, *range(1, 150)]
    assert sum(seen) == 150
    soundfile.write(tmp_path / "70.wav", np.zeros(700), 8000)
    again = probe_items(items_of(tmp_path, *names[::-1]), probes, ignore)
    assert again["num_frames"].to_pylist()[::-1] == [None, *range(1, 70), 700, *range(71, 150)]


def test_members_are_told_by_their_own_size_and_their_files_time(tmp_path: Path, opened: Path) -> None:
    for number, frames in enumerate((100, 300)):
        soundfile.write(tmp_path / f"{number}.wav", np.zeros(frames), 8000)
    first, second = ((tmp_path / f"{number}.wav").read_bytes() for number in range(2))
    (tmp_path / "shard.tar").write_bytes(b"." * 512 + first + second)
    members = [f"bytes:512+{len(first)}", f"bytes:{512 + len(first)}+{len(second)}", "bytes:9000+10"]
    items = items_of(tmp_path, *["shard.tar"] * 3, members=members)
    probes = probe_items(items, None, ignore)
    assert probes["num_frames"].to_pylist() == [100, 300, None]
    assert probes["size_bytes"].to_pylist()[:2] == [len(first), len(second)]
    assert "cut off" in probes["error"].to_pylist()[2]
    alone = probe_items(items_of(tmp_path, "0.wav"), None, ignore)
    assert alone["fingerprint"][0] == probes["fingerprint"][0]

    again = probe_items(items.slice(0, 2), probes, ignore, reader="faulty_media:read_headers")
    assert not opened.exists()
    assert again == probes.slice(0, 2)
    os.utime(tmp_path / "shard.tar", ns=(1, 1))
    assert probe_items(items.slice(0, 2), probes, ignore)["modified_ns"].to_pylist() == [1, 1]


def test_what_the_source_knows_to_be_wrong_is_not_opened(tmp_path: Path, opened: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 8000)
    items = items_of(tmp_path, "a.wav", "b.wav").append_column("_error", [["no recording in it", "climbs out"]])
    probes = probe_items(items, None, ignore, reader="faulty_media:read_headers")
    assert probes["error"].to_pylist() == ["no recording in it", "climbs out"]
    assert not opened.exists()


def test_headers_that_crash_or_hang_cost_their_file(tmp_path: Path, opened: Path) -> None:
    names = ["a.wav", "segfault.wav", "b.wav", "loop.wav", "hoard.wav", "c.wav", "raise.wav"]
    for name in names:
        soundfile.write(tmp_path / name, np.zeros(100), 8000)
    items = items_of(tmp_path, *names)
    limits = GuardLimits(seconds=3, memory_gib=0.25)
    probes = probe_items(items, None, ignore, limits=limits, reader="faulty_media:read_headers")
    clean = probe_items(items, None, ignore)
    assert probes.filter(pa.compute.is_null(probes["error"])) == clean.filter(pa.compute.is_null(probes["error"]))
    assert probes["error"].to_pylist() == [
        None,
        "crash: reading its header kills its process by SIGSEGV (Segmentation fault)",
        None,
        "timeout: reading its header takes longer than 3 s",
        "crash: reading its header needs more than 0.25 GiB of memory",
        None,
        "no good",
    ]
    assert opened.exists()


def test_a_store_that_does_not_answer_is_no_fact_about_a_file(tmp_path: Path, opened: Path) -> None:
    soundfile.write(tmp_path / "unavailable.wav", np.zeros(100), 8000)
    with pytest.raises(SourceError, match="the store does not answer"):
        probe_items(items_of(tmp_path, "unavailable.wav"), None, ignore, reader="faulty_media:read_headers")
    assert opened.exists()


def test_no_items(tmp_path: Path) -> None:
    assert probe_items(items_of(tmp_path), None, ignore) == PROBE_SCHEMA.empty_table()
