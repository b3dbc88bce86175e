"""The part of `location` that is for stores at URIs.

A file must appear whole or not at all, and Arrow's streams do not see to that: one that fails on the way is closed by
its destructor, and thereby completed with what had come so far, in the place of what was there before. What one request
can carry is put at once; all else is uploaded under a temporary name, looked at, and then copied by the server, which
is the commit:

    upload ──> data/.part-1.parquet.9ab3f01c22d4.tmp ──> is it all there? ──> copy to data/part-1.parquet, remove

Where fsspec is in between, it puts whole objects into object stores by itself, and to the rest the same applies.
"""

import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileSelector, FileType

from workers.files import RemoteFile, filesystem_of, is_writable, retried, scheme_of, stat_file
from workers.files.entries import time_of
from workers.files.filesystem import fsspec_of
from workers.files.remote import fsspec_info

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
"""What is written but has not got its name yet."""

_ONE_REQUEST_BYTES = 5 << 20
"""Up to here, S3 gets an object in one request (Arrow begins an upload in parts at 10 MiB)."""

_OBJECT_STORES = frozenset({"memory", "oci", "oss", "s3a", "r2", "wandb"})
"""Protocols of fsspec in which a file that is being written cannot be seen."""


def put(path: str, content: bytes | Callable[[pa.NativeFile], None]) -> int:
    """Write an object; returns its size in bytes.

    It is made in memory first, so that a failing writer uploads nothing.

    Raises:
        OSError: It cannot be written. Nothing appeared then, or what appeared is whole.
    """
    if not is_writable(path):
        raise PermissionError(f"{path}: {scheme_of(path)}:// can be read only; write to a folder or an object store")
    if callable(content):
        sink = pa.BufferOutputStream()
        content(sink)
        data = sink.getvalue()
    else:
        data = pa.py_buffer(content)
    filesystem, name = filesystem_of(path)
    scheme = scheme_of(path)
    if scheme in _OBJECT_STORES or (scheme == "s3" and data.size <= _ONE_REQUEST_BYTES):
        retried(lambda: _write(filesystem, name, data), path)
        return int(data.size)
    folder, _, last = name.rpartition("/")
    temporary = f"{folder}/.{last}.{secrets.token_hex(6)}.tmp"
    try:
        retried(lambda: _upload(filesystem, temporary, data), path)
        _replace(filesystem, temporary, name, path)
    except BaseException:
        with suppress(Exception):  # the reason why it failed may stand in the way of this, too
            filesystem.delete_file(temporary)
        raise
    return int(data.size)


def _write(filesystem: Any, name: str, data: pa.Buffer) -> None:
    if (inner := fsspec_of(filesystem)) is not None:
        inner.pipe_file(name, data.to_pybytes())
        return
    with filesystem.open_output_stream(name) as stream:
        stream.write(data)


def _upload(filesystem: Any, name: str, data: pa.Buffer) -> None:
    """Write a file under a temporary name, and make sure that all of it arrived."""
    if not _has_buckets(filesystem):
        filesystem.create_dir(name.rpartition("/")[0], recursive=True)
    _write(filesystem, name, data)
    found = filesystem.get_file_info(name)
    if found.type != FileType.File or found.size != data.size:
        raise ConnectionError(f"uploaded {data.size} bytes, of which {found.size} arrived")


def _replace(filesystem: Any, name: str, new: str, path: str) -> None:
    """Give a file another name. What has that name already is replaced in one step."""
    if not _has_buckets(filesystem):
        retried(lambda: filesystem.move(name, new), path)
        return
    retried(lambda: filesystem.copy_file(name, new), path)  # an object has no other way to another name
    with suppress(OSError):
        retried(lambda: filesystem.delete_file(name), path)


def _has_buckets(filesystem: Any) -> bool:
    """Whether it is an object store of Arrow's: without folders to be made, and without renaming."""
    return filesystem.type_name in ("s3", "gcs", "abfs")


def children(folder: str) -> dict[str, int | None]:
    """Names directly in a folder with their sizes in bytes, None for a folder; empty if it is missing.

    Raises:
        OSError: It cannot be listed.
        ValueError: It is on the web, where nothing can be listed.
    """
    if scheme_of(folder) in ("http", "https"):
        raise ValueError(
            f"{folder}: a folder on the web cannot be listed; copy the store, or serve it as an object store"
        )
    filesystem, name = filesystem_of(folder)
    selector = FileSelector(name, recursive=False, allow_not_found=True)
    return {
        found.base_name: found.size if found.type == FileType.File else None
        for found in retried(lambda: filesystem.get_file_info(selector), folder)
    }


def read_all(path: str) -> bytes:
    """All bytes of a file.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
    """
    remote = RemoteFile(path)
    try:
        return remote.read(0, remote.size) if remote.size else b""
    finally:
        remote.close()


def is_there(path: str) -> bool:
    """Whether a file or folder is there.

    Raises:
        OSError: That cannot be found out.
    """
    filesystem, name = filesystem_of(path)
    found = retried(lambda: filesystem.get_file_info(name), path)
    return bool(found.type != FileType.NotFound)


def delete(path: str) -> None:
    """Remove a file; one that is gone already is fine.

    Raises:
        OSError: It cannot be removed.
    """
    filesystem, name = filesystem_of(path)
    with suppress(FileNotFoundError):
        retried(lambda: filesystem.delete_file(name), path)


def move(path: str, new: str) -> None:
    """Give a file another name in the same store.

    Raises:
        OSError: It cannot be done; then the file has its old name, and perhaps the new one as well.
    """
    filesystem, name = filesystem_of(path)
    _replace(filesystem, name, filesystem_of(new)[1], path)


def temporaries(folder: str, *, older_than_seconds: float) -> list[str]:
    """Paths of what `put` left half-done directly in a folder, so long ago; what tells no time is left alone."""
    limit = (time.time() - older_than_seconds) * 1e9
    found = [name for name, size in children(folder).items() if size is not None and TEMPORARY.fullmatch(name)]
    times = ((path, _written_ns(path)) for path in (f"{folder}/{name}" for name in found))
    return [path for path, written_ns in times if written_ns is not None and written_ns <= limit]


def _written_ns(path: str) -> int | None:
    """When a file was last written; None if it is gone, or where nobody knows."""
    filesystem, name = filesystem_of(path)
    try:
        if (inner := fsspec_of(filesystem)) is not None:
            return time_of(fsspec_info(inner, name, path))
        return stat_file(path).modified_ns
    except FileNotFoundError:
        return None
