"""A store's files at URIs; what takes a real server is in `tests/object_store`."""

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.store import LatentStore, location
from pipeline.store.remote_bytes import RemoteBytes, merge_ranges


def test_files_of_a_store(memory: Any) -> None:
    store = "memory://stores/one"
    path = location.join(store, location.DATA, "part-1.parquet")
    assert path == "memory://stores/one/data/part-1.parquet"
    assert location.list_files(location.join(store, location.DATA)) == {}
    assert location.list_names(store) == []
    assert location.atomic_write(path, b"abc") == 3
    assert location.atomic_write(path, lambda file: file.write(b"abcd")) == 4
    location.atomic_write(location.join(store, location.DATA, ".hidden.parquet"), b"")
    assert location.list_files(location.join(store, location.DATA)) == {"part-1.parquet": 4}
    assert location.list_names(store) == ["data"]
    assert location.read_bytes(path) == location.map_file(path).to_pybytes() == b"abcd"
    with pytest.raises(FileNotFoundError, match="part-2"):
        location.read_bytes(path.replace("-1", "-2"))
    location.rename(path, path + ".damaged")
    assert (location.exists(path), location.exists(path + ".damaged")) == (False, True)
    location.remove(path + ".damaged")
    location.remove(path)
    assert location.free_bytes(store) is None
    assert (location.is_local(store), location.is_local("/data")) == (False, True)
    assert memory.find("/") == ["/stores/one/data/.hidden.parquet"]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/store/a", "hf://datasets/someone/store/a"])
def test_some_places_can_only_be_read(uri: str) -> None:
    with pytest.raises(PermissionError, match=r"can be read only; write to a folder or an object store"):
        location.atomic_write(uri, b"")


def test_protocols_without_whole_puts_get_a_temporary_and_a_rename(tmp_path: Path, monkeypatch: Any) -> None:
    # fsspec's local file system stands for those of servers, such as sftp: one sees what is half-written
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    local = PyFileSystem(FSSpecHandler(fsspec.filesystem("file", skip_instance_cache=True)))
    monkeypatch.setattr(
        "pipeline.store.remote_location.filesystem_of", lambda path: (local, f"{tmp_path}/{path.split('://')[1]}")
    )
    assert location.atomic_write("sftp://host/store/data/a.parquet", b"first") == 5
    seen = []
    move = local.handler.fs.mv
    monkeypatch.setattr(local.handler.fs, "mv", lambda *names, **options: (seen.append(names), move(*names, **options)))
    location.atomic_write("sftp://host/store/data/a.parquet", b"second")
    [(temporary, final)] = seen
    assert os.path.basename(temporary).startswith(".a.parquet.")
    assert final.endswith("host/store/data/a.parquet")
    assert os.listdir(tmp_path / "host/store/data") == ["a.parquet"]

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "disk full")

    monkeypatch.setattr(local.handler.fs, "mv", fail)
    with pytest.raises(OSError, match="disk full"):
        location.atomic_write("sftp://host/store/data/a.parquet", b"third")
    assert (tmp_path / "host/store/data/a.parquet").read_bytes() == b"second"
    assert os.listdir(tmp_path / "host/store/data") == ["a.parquet"]


def test_orphans_are_removed_when_they_are_old(memory: Any) -> None:
    store = "memory://store"
    for name in (".manifest.json.0123456789ab.tmp", "data/.part.parquet.0123456789ab.tmp", "logs/.x.0123456789ab.tmp"):
        memory.pipe_file(f"/store/{name}", b"x")
    memory.pipe_file("/store/data/part.parquet", b"x")
    removed = location.remove_temporaries(store, older_than_seconds=0)
    assert removed == [f"{store}/.manifest.json.0123456789ab.tmp", f"{store}/data/.part.parquet.0123456789ab.tmp"]
    assert memory.find("/store") == ["/store/data/part.parquet", "/store/logs/.x.0123456789ab.tmp"]


def test_announced_ranges_are_fetched_together(memory: Any) -> None:
    data = os.urandom(1_000_000)
    memory.pipe_file("/file", data)
    remote = RemoteBytes("memory://file")
    assert len(remote) == len(data)
    assert remote[999_990:2_000_000] == data[999_990:]
    remote.announce([(500_000, 600_000), (10, 20), (30, 40)])
    requests: list[tuple[int, int]] = []
    read = remote.file.read
    remote.file.read = lambda offset, length: (requests.append((offset, length)), read(offset, length))[1]  # type: ignore[method-assign]
    assert remote[12:18] == data[12:18]
    assert remote[10:40] == data[10:40]
    assert remote[510_000:600_000] == data[510_000:600_000]
    assert requests == []
    assert remote[510_000:600_001] == data[510_000:600_001]
    assert requests == [(510_000, 90_001)]


def test_ranges_that_lie_close_become_one() -> None:
    ranges = [(0, 10), (12, 20), (15, 18), (50, 60), (61, 200)]
    assert merge_ranges(ranges, gap=5, largest=100) == [(0, 20), (50, 60), (61, 200)]


def test_young_orphans_stay_and_make_no_store(memory: Any) -> None:
    memory.pipe_file("/store/.a.0123456789ab.tmp", b"x")
    assert location.remove_temporaries("memory://store", older_than_seconds=3600) == []
    with pytest.raises(FileNotFoundError, match="memory://store is not a store"):
        LatentStore("memory://store")
