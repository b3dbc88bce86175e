"""Files appear whole or not at all."""

import errno
import os
import time
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.store import location


def test_write_replaces_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    assert location.atomic_write(str(path), b"one") == 3
    assert location.atomic_write(str(path), lambda file: file.write(b"second")) == 6
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["b.json"]


def test_failure_half_way_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"old")

    def fail(file: pa.NativeFile) -> None:
        file.write(b"half of the ne")
        assert location.list_files(str(tmp_path)) == {"x.parquet": 3}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        location.atomic_write(str(path), fail)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.parquet"]


def test_full_disk_names_the_path(tmp_path: Path) -> None:
    def fail(_: pa.NativeFile) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"no space left to write .*x\.parquet") as caught:
        location.atomic_write(str(tmp_path / "x.parquet"), fail)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []


def test_listing_is_sorted_and_takes_no_temporaries(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet", ".c.parquet.0123.tmp", ".d.parquet", "note.txt"):
        (tmp_path / name).write_bytes(name.encode())
    assert list(location.list_files(str(tmp_path))) == ["a.parquet", "b.parquet"]
    assert location.list_files(str(tmp_path / "none")) == {}


def test_old_temporaries_of_the_store_are_removed(tmp_path: Path) -> None:
    old = [".manifest.json.0123456789ab.tmp"]
    old += [f"{folder}/.p.parquet.0123456789ab.tmp" for folder in ("data", "quarantine", "plan")]
    kept = ["data/p.parquet", "data/.p.parquet.tmp", "logs/.a.0123456789ab.tmp", "mine/.a.0123456789ab.tmp"]
    for name in [*old, *kept, "data/.new.0123456789ab.tmp"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
        if "new" not in name:
            os.utime(tmp_path / name, (time.time() - 3600,) * 2)
    (tmp_path / "data" / ".folder.0123456789ab.tmp").mkdir()
    removed = location.remove_temporaries(str(tmp_path), older_than_seconds=60)
    assert removed == sorted(str(tmp_path / name) for name in old)
    assert all((tmp_path / name).exists() for name in [*kept, "data/.new.0123456789ab.tmp"])
    assert location.remove_temporaries(str(tmp_path / "none"), older_than_seconds=0) == []
    with pytest.raises(ValueError, match="older_than_seconds is -1; it must be at least 0"):
        location.remove_temporaries(str(tmp_path), older_than_seconds=-1)


def test_temporary_of_a_killed_writer_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "_remove_if_there", lambda _: None)  # a killed process removes nothing
    with pytest.raises(RuntimeError, match="killed"):
        location.atomic_write(
            str(tmp_path / "data" / "p.parquet"), lambda _: (_ for _ in ()).throw(RuntimeError("killed"))
        )
    monkeypatch.undo()
    assert len(location.remove_temporaries(str(tmp_path), older_than_seconds=0)) == 1
    assert os.listdir(tmp_path / "data") == []


def test_mapping_holds_no_file_descriptor(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    before = len(os.listdir("/proc/self/fd"))
    buffers = [location.map_file(str(tmp_path / "x")) for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert {bytes(buffer) for buffer in buffers} == {b"0123456789"}


def test_empty_file_maps_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert location.map_file(str(tmp_path / "x")).size == 0


def test_a_link_that_leads_nowhere_hides_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"1")
    (tmp_path / "b.parquet").symlink_to(tmp_path / "gone")
    assert location.list_files(str(tmp_path)) == {"a.parquet": 1}
