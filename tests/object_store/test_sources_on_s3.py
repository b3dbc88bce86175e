"""Sources on a real S3 server: shards, tables, folders and manifests, read in place."""

import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.source import SourceError, list_source
from pipeline.source_spec import SourceSpec
from workers.files import retry
from workers.media.media_file import MediaFile


def rows(path: object, **settings: Any) -> list[dict[str, Any]]:
    return list(list_source(SourceSpec(path=path, **settings)).items.to_pylist())


def content(row: dict[str, Any]) -> bytes:
    with MediaFile(row["_path"], row["_member"]) as file:
        return file.read_at(0, file.size)


def tar_of(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def fetched(requests: list[str]) -> list[str]:
    return [request for request in requests if request.startswith("GET") and "list-type" not in request]


def test_shards_are_indexed_by_their_headers_and_read_in_place(bucket: Any) -> None:
    sound = bytes(range(256)) * 8192  # 2 MiB
    for number in range(2):
        members = {f"{n}.wav": bytes([n]) + sound for n in range(5)} | {f"{n}.json": b'{"n": %d}' % n for n in range(5)}
        bucket.write(f"set/s-{number}.tar", tar_of(dict(sorted(members.items()))))
    bucket.proxy.requests.clear()
    found = rows(f"{bucket.uri}/set")
    assert [row["_item"] for row in found] == [f"s-{s}.tar/{n}.wav" for s in range(2) for n in range(5)]
    assert [row["n"] for row in found] == [0, 1, 2, 3, 4] * 2
    assert len(fetched(bucket.proxy.requests)) <= 2 * 3 * 5 + 4
    assert content(found[7]) == bytes([2]) + sound
    for given in (f"{bucket.uri}/set/*.tar", f"{bucket.uri}/set/s-{{0..1}}.tar", (f"{bucket.uri}/set/s-0.tar",)):
        assert rows(given)[0] == found[0]


def test_a_missing_shard_fails_by_itself_and_a_server_that_does_not_answer_stops_the_job(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.files.filesystem._SDK_ATTEMPTS", 2)
    uri = bucket.write("s.tar", tar_of({"a.wav": b"x" * 1000}))
    bucket.proxy.add(method="GET", path="s.tar", status=503, times=2)
    assert [row["_item"] for row in rows(uri)] == ["s.tar/a.wav"]
    missing = rows((uri, f"{bucket.uri}/gone.tar"))
    assert [(row["_item"], row["_error"]) for row in missing if row["_error"]] == [
        ("gone.tar", "the shard cannot be read: no such file")
    ]
    monkeypatch.setattr(retry, "_DELAYS_SECONDS", (0.01,))
    bucket.proxy.add(path="s.tar", status=503, times=1000)
    with pytest.raises(SourceError, match=r"s\.tar: no luck in 2 tries"):
        rows((uri,))


def test_tables_manifests_and_folders(bucket: Any) -> None:
    audio = [{"bytes": b"in the table", "path": "x.wav"}, {"bytes": None, "path": "sub/beside.wav"}]
    file = io.BytesIO()
    pq.write_table(pa.table({"audio": audio, "n": [1, 2]}), file)
    bucket.write("data/sub/beside.wav", b"beside it")
    table = bucket.write("data/t.parquet", file.getvalue())
    assert [content(row) for row in rows(table)] == [b"in the table", b"beside it"]
    manifest = bucket.write("data/m.csv", b"path,n\nsub/beside.wav,1\n")
    [row] = rows(manifest)
    assert (row["_path"], row["n"], content(row)) == (f"{bucket.uri}/data/sub/beside.wav", 1, b"beside it")
    listing = list_source(SourceSpec(path=f"{bucket.uri}/data"))
    assert listing.items["_item"].to_pylist() == ["sub/beside.wav"]
    assert listing.ignored == {".parquet": 1, ".csv": 1}
    with pytest.raises(SourceError, match="does not exist"):
        rows(f"{bucket.uri}/nowhere")


def test_secrets_reach_no_message(bucket: Any, secrets_in: Callable[[str], list[str]], tmp_path: Path) -> None:
    import os

    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    (tmp_path / "m.csv").write_text(f"path\ns3://{key}:{secret.replace('/', '%2F')}@{bucket.name}/a.wav\n")
    for path in (f"s3://{key}:x@{bucket.name}/a.tar", str(tmp_path / "m.csv"), f"{bucket.uri}/none/*.wav"):
        with pytest.raises((SourceError, ValueError)) as caught:
            rows(path)
        assert not secrets_in(str(caught.value))
        assert not re.search(r"mill.secret", str(caught.value))
