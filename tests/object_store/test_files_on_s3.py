"""`workers.files` and a store's location against a real S3 server that fails now and then."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from pipeline.store import location
from workers.files import StorageUnavailableError, list_folder, open_file, stat_file

DATA = np.random.default_rng(0).bytes(9_000_000)
PART_BYTES = 10 << 20
"""Of an upload in parts."""


def test_awkward_keys_are_taken_literally(bucket: Any) -> None:
    keys = ["50% off.wav", "a b#c?d=1.wav", "dir/ü=&+.wav", "dir/x%20y.wav"]
    for key in keys:
        bucket.write(key, key.encode())
    entries = {entry.path: entry for entry in list_folder(bucket.uri)}
    assert sorted(entries) == sorted(f"{bucket.uri}/{key}" for key in keys)
    for path, entry in entries.items():
        assert open_file(path).read() == path.removeprefix(f"{bucket.uri}/").encode()
        assert stat_file(path) == entry
        assert entry.modified_ns is not None
        assert abs(entry.modified_ns / 1e9 - time.time()) < 120
    assert all(entry.path.startswith(f"{bucket.uri}/dir/") for entry in list_folder(f"{bucket.uri}/dir/"))


def test_reading_here_and_there_makes_few_requests(bucket: Any) -> None:
    path = bucket.write("big.bin", DATA)
    bucket.proxy.requests.clear()
    with open_file(path) as file:
        assert file.read(44) == DATA[:44]
        for start in range(44, 3_000_000, 4000):
            assert file.read(4000) == DATA[start : start + 4000]
        file.seek(-10, os.SEEK_END)
        assert file.read() == DATA[-10:]
    assert len([request for request in bucket.proxy.requests if request.startswith("GET")]) == 4
    small = bucket.write("small.bin", DATA[:3_000_000])
    bucket.proxy.requests.clear()
    with open_file(small) as file:
        assert file.read() == DATA[:3_000_000]
    assert [request.split()[0] for request in bucket.proxy.requests] == ["HEAD", "GET"]


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"cut": True}])
@pytest.mark.parametrize("times", [1, 6])
def test_reading_goes_on_after_faults(bucket: Any, fault: dict[str, object], times: int) -> None:
    path = bucket.write("sounds/big.bin", DATA)
    rule = bucket.proxy.add(times=times, **fault)
    with open_file(path) as file:
        assert file.read() == DATA
    assert [entry.size for entry in list_folder(f"{bucket.uri}/sounds")] == [len(DATA)]
    assert rule.happened == times


def test_a_slow_answer_is_waited_for(bucket: Any) -> None:
    path = bucket.write("slow.bin", DATA)
    bucket.proxy.add(method="GET", times=2, delay_seconds=0.4)
    assert open_file(path).read() == DATA


@pytest.fixture
def impatient(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 (its client is made after this)
    """Few tries in quick succession."""
    monkeypatch.setattr("workers.files.retry._DELAYS_SECONDS", (0.01, 0.01))
    monkeypatch.setattr("workers.files.filesystem._SDK_ATTEMPTS", 2)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_stays_busy_is_given_up(bucket: Any) -> None:
    path = bucket.write("a.bin", DATA)
    bucket.proxy.add(method="GET", times=99, status=503)
    with pytest.raises(StorageUnavailableError, match=r"a.bin: no luck in 3 tries over .*(SLOW_DOWN|UNAVAILABLE)"):
        open_file(path).read()


def test_what_is_not_there_or_forbidden_is_not_tried_again(bucket: Any) -> None:
    path = bucket.write("a.bin", b"x")
    bucket.proxy.requests.clear()
    with pytest.raises(FileNotFoundError, match=r"nothing\.bin"):
        open_file(f"{bucket.uri}/nothing.bin")
    with pytest.raises(FileNotFoundError, match="no-such-bucket"):
        stat_file("s3://no-such-bucket/a.bin")
    bucket.proxy.add(times=99, status=403)
    with pytest.raises(PermissionError, match=r"no permission .*a\.bin"):
        open_file(path)
    with pytest.raises(PermissionError, match=r"no permission .*b\.bin"):
        location.atomic_write(f"{bucket.uri}/b.bin", b"x")
    assert len(bucket.proxy.requests) < 10


@pytest.mark.parametrize("size", [0, 5, 25_000_000])
def test_a_write_is_there_whole(bucket: Any, size: int) -> None:
    data = (DATA * 3)[:size]
    path = location.join(bucket.uri, "store", "data", "part-1.parquet")
    bucket.proxy.add(method="PUT", times=2, status=500)
    bucket.proxy.add(method="POST", times=2, status=503)
    assert location.atomic_write(path, lambda file: file.write(data)) == size
    assert location.read_bytes(path) == data
    assert location.list_files(f"{bucket.uri}/store/data") == {"part-1.parquet": size}
    assert location.list_names(f"{bucket.uri}/store") == ["data"]
    assert location.exists(path)
    assert location.exists(f"{bucket.uri}/store/data")
    location.rename(path, f"{path}.damaged")
    assert bucket.keys() == ["store/data/part-1.parquet.damaged"]
    location.remove(f"{path}.damaged")
    location.remove(f"{path}.damaged")
    assert location.list_files(f"{bucket.uri}/store/data") == {}
    assert not location.exists(path)


def test_a_writer_that_fails_leaves_nothing(bucket: Any) -> None:
    def fail(file: Any) -> None:
        file.write(DATA * 3)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        location.atomic_write(f"{bucket.uri}/a.bin", fail)
    assert bucket.keys() == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("broken", ["partNumber=2", "uploads", "uploadId=[^&]*$"])
def test_an_upload_that_fails_between_parts_leaves_what_was_there(bucket: Any, broken: str) -> None:
    bucket.write("a.bin", b"old")
    bucket.proxy.add(path=broken, times=999, status=500)
    with pytest.raises(StorageUnavailableError, match=r"a\.bin: no luck in 3 tries"):
        location.atomic_write(f"{bucket.uri}/a.bin", DATA * 3)
    assert bucket.read("a.bin") == b"old"


def test_a_writer_killed_between_parts_leaves_what_was_there(bucket: Any) -> None:
    bucket.write("a.bin", b"old")
    held = bucket.proxy.add(path="partNumber=2", hold=True)
    code = f"from pipeline.store import location; location.atomic_write({bucket.uri + '/a.bin'!r}, b'new' * 9_000_000)"
    writer = subprocess.Popen([sys.executable, "-c", code])
    assert held.seen.wait(60)
    writer.send_signal(signal.SIGKILL)
    writer.wait(30)
    held.released.set()
    assert bucket.keys() == ["a.bin"]
    assert bucket.read("a.bin") == b"old"
    location.atomic_write(f"{bucket.uri}/a.bin", b"new" * 9_000_000)
    assert bucket.read("a.bin") == b"new" * 9_000_000


def test_a_writer_killed_before_its_copy_leaves_an_orphan_that_is_swept_up(bucket: Any) -> None:
    path = f"{bucket.uri}/store/data/part-1.parquet"
    held = bucket.proxy.add(method="PUT", path=r"/part-1\.parquet$", hold=True)
    code = f"from pipeline.store import location; location.atomic_write({path!r}, b'new' * 9_000_000)"
    writer = subprocess.Popen([sys.executable, "-c", code])
    assert held.seen.wait(60)
    writer.send_signal(signal.SIGKILL)
    writer.wait(30)
    held.released.set()
    [orphan] = bucket.keys("store/data")
    assert orphan.startswith("store/data/.part-1.parquet.")
    assert location.list_files(f"{bucket.uri}/store/data") == {}
    assert location.remove_temporaries(f"{bucket.uri}/store", older_than_seconds=3600) == []
    assert location.remove_temporaries(f"{bucket.uri}/store", older_than_seconds=0) == [f"{bucket.uri}/{orphan}"]
    assert bucket.keys() == []
