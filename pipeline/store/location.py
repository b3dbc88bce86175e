"""Where a store's files live: the only module that touches a file system for a store.

A file becomes visible under its final name in one step and only when its bytes are on disk, so whatever a listing shows
is whole. A temporary starts with a dot and does not end in `.parquet`: no reader's glob takes it for data.
"""

import errno
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

DATA = "data"
QUARANTINE = "quarantine"
PLAN = "plan"
MANIFEST = "manifest.json"
INDEX = "index.parquet"
JOB = "job.yaml"
LOGS = "logs"

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")  # as `atomic_write` names them


def join(store: str, *names: str) -> str:
    """The path of a file of the store."""
    return os.path.join(store, *names)


def atomic_write(path: str, content: bytes | Callable[[pa.NativeFile], None], *, durable: bool = True) -> int:
    """Write a file so that other processes, now or after a power cut, see all of it or none of it.

    Args:
        path: Final name; a file of that name is replaced. Missing folders are made.
        content: The bytes, or a function that writes them to the open file.
        durable: Wait until the bytes and the new name are on disk. Without it, a power cut may lose the file, but a
            killed process still leaves all or nothing.

    Returns:
        The file's size in bytes.

    Raises:
        OSError: The path cannot be written; the message names it. No temporary stays behind.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder or ".", exist_ok=True)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(6)}.tmp")
    try:
        with pa.OSFile(temporary, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            num_bytes = int(file.tell())
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable:
            _flush(folder or ".")
    except OSError as error:
        _remove_if_there(temporary)
        if error.errno == errno.ENOSPC:
            raise OSError(errno.ENOSPC, f"no space left to write {path}; free some and run the same again") from error
        raise
    except BaseException:
        _remove_if_there(temporary)
        raise
    return num_bytes


def list_files(folder: str, suffix: str = ".parquet") -> dict[str, int]:
    """Names and sizes in bytes of the committed files directly in `folder`, sorted by name; empty if it is missing."""
    try:
        with os.scandir(folder) as entries:
            found = {
                e.name: e.stat().st_size for e in entries if e.name.endswith(suffix) and not e.name.startswith(".")
            }
    except FileNotFoundError:
        return {}
    return dict(sorted(found.items()))


def read_bytes(path: str) -> bytes:
    """All bytes of a file.

    Raises:
        FileNotFoundError: There is none.
    """
    return Path(path).read_bytes()


def map_file(path: str) -> pa.Buffer:
    """A file's bytes, memory-mapped; the mapping lives as long as the buffer and holds no file descriptor.

    Raises:
        FileNotFoundError: There is none.
    """
    with pa.memory_map(path) as file:
        return file.read_buffer() if file.size() else pa.py_buffer(b"")


def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    return os.path.exists(path)


def remove(path: str) -> None:
    """Remove a file; one that is gone already is fine."""
    _remove_if_there(path)


def remove_temporaries(store: str, *, older_than_seconds: float) -> list[str]:
    """Remove what killed writers left half-written in the store's own folders; logs and foreign folders stay as is.

    Args:
        store: The store's folder.
        older_than_seconds: Leave temporaries written to since then alone: somebody may still be at them.

    Returns:
        Their paths, sorted.

    Raises:
        ValueError: The age is negative.
    """
    if older_than_seconds < 0:
        raise ValueError(f"older_than_seconds is {older_than_seconds}; it must be at least 0")
    limit = time.time() - older_than_seconds
    removed = []
    for folder in (store, join(store, DATA), join(store, QUARANTINE), join(store, PLAN)):
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if _TEMPORARY.fullmatch(entry.name) and _is_older(entry, limit):
                    _remove_if_there(entry.path)
                    removed.append(entry.path)
    return sorted(removed)


def _is_older(entry: os.DirEntry[str], limit: float) -> bool:
    """Whether it is a file that was last written at `limit` or before; not if it is gone."""
    try:
        return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime <= limit
    except FileNotFoundError:
        return False


def _flush(path: str) -> None:
    """Wait until a file's bytes, or a folder's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_if_there(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
