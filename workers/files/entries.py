"""Files by path or URI: what lies there, how long it is, and its bytes."""

import errno
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import Any, BinaryIO, cast

from workers.files.filesystem import filesystem_of, fsspec_of
from workers.files.ranged import Blocks, RangedFile
from workers.files.remote import RemoteFile, fsspec_info
from workers.files.retry import retried
from workers.files.uri import WEB, absolute, scheme_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A file, as a listing shows it."""

    path: str
    """Local path or URI."""
    size: int
    """Bytes."""
    modified_ns: int | None
    """When it was last written, in nanoseconds since 1970. Where a server tells an ETag alone, a number made from that:
    it is compared, not read. None where nothing is told."""


def open_file(path: str) -> BinaryIO:
    """Open a file for reading, by path or URI: binary, seekable and buffered.

    Of a remote file just the blocks that are read are fetched, and tried again where a server is busy. A web server
    that gives no ranges sends the whole file, once.

    Raises:
        FileNotFoundError, PermissionError: As the words say.
        workers.files.StorageUnavailableError: The server does not answer.
        ValueError: `check_uri` refuses the path.
    """
    if scheme_of(path) in (None, "file"):
        return open(absolute(path), "rb")
    remote = RemoteFile(path)
    raw = RangedFile(Blocks(remote.read, remote.size), name=path.rpartition("/")[2], on_close=remote.close)
    return cast(BinaryIO, io.BufferedReader(raw, 1 << 16))


def stat_file(path: str) -> FileEntry:
    """Size and time of a file.

    Raises:
        FileNotFoundError, PermissionError, IsADirectoryError: As the words say.
        workers.files.StorageUnavailableError: The server does not answer.
        ValueError: `check_uri` refuses the path, or a web server does not say how long the file is.
    """
    if scheme_of(path) in (None, "file"):
        status = os.stat(absolute(path))
        return FileEntry(path=path, size=status.st_size, modified_ns=status.st_mtime_ns)
    filesystem, name = filesystem_of(path)
    inner = fsspec_of(filesystem)
    if inner is not None:
        info = fsspec_info(inner, name, path)
        return FileEntry(path=path, size=info["size"], modified_ns=_modified(info))
    from pyarrow.fs import FileType

    found = retried(lambda: filesystem.get_file_info(name), path)
    if found.type == FileType.NotFound:
        raise FileNotFoundError(errno.ENOENT, "no such file", path)
    if found.type != FileType.File:
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", path)
    return FileEntry(path=path, size=found.size, modified_ns=found.mtime_ns)


def list_folder(path: str) -> Iterator[FileEntry]:
    """The files below a folder, at any depth, in no particular order.

    Raises:
        FileNotFoundError, PermissionError, NotADirectoryError: As the words say.
        workers.files.StorageUnavailableError: The server does not answer.
        ValueError: `check_uri` refuses the path, or it is on the web, where folders cannot be listed.
    """
    if scheme_of(path) in WEB:
        raise ValueError(
            f"{path}: a folder on the web cannot be listed; give a manifest with the addresses of its files"
        )
    filesystem, name = filesystem_of(path)
    base, inside = absolute(path).rstrip("/"), name.strip("/")

    def entry(found: str, size: int, modified_ns: int | None) -> FileEntry:
        relative = found.strip("/")[len(inside) :].lstrip("/")
        return FileEntry(path=f"{base}/{relative}", size=size, modified_ns=modified_ns)

    inner = fsspec_of(filesystem)
    if inner is not None:
        files = retried(lambda: inner.find(name, detail=True), path)
        if not files and not retried(lambda: inner.isdir(name), path):
            raise FileNotFoundError(errno.ENOENT, "no such folder", path)
        for found, info in files.items():
            yield entry(found, int(info["size"]), _modified(info))
        return
    from pyarrow.fs import FileSelector, FileType

    for found in retried(lambda: filesystem.get_file_info(FileSelector(name, recursive=True)), path):
        if found.type == FileType.File:
            yield entry(found.path, found.size, found.mtime_ns)


def time_of(info: dict[str, Any]) -> int | None:
    """When a file was last written, in nanoseconds since 1970, out of what fsspec knows about it."""
    for key in ("mtime", "created", "last_modified"):
        value = info.get(key)
        if isinstance(value, int | float):
            return int(value * 1e9)
        if isinstance(value, datetime):
            return int(value.timestamp() * 1e9)
    if stated := info.get("Last-Modified"):
        return int(parsedate_to_datetime(stated).timestamp() * 1e9)
    return None


def _modified(info: dict[str, Any]) -> int | None:
    """A number from an ETag, which changes with the content, or a time."""
    if tag := info.get("ETag") or info.get("etag") or info.get("blob_id"):
        return int.from_bytes(blake2b(str(tag).encode(), digest_size=8).digest()) >> 1
    return time_of(info)
