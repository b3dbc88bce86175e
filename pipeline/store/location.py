"""Where a store's files live: the only module, with `remote_location`, that touches a file system for a store.

A store is a folder or a URI. A file becomes visible under its final name in one step and only when its bytes are on
disk, so whatever a listing shows is whole. A temporary starts with a dot and does not end in `.parquet`: no reader's
glob takes it for data.
"""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.store import remote_location
from workers.files import filesystem_of, is_uri, join_path

DATA = "data"
QUARANTINE = "quarantine"
PLAN = "plan"
MANIFEST = "manifest.json"
CLAIM = "claim.json"
INDEX = "index.parquet"
JOB = "job.yaml"
LOGS = "logs"


def join(store: str, *names: str) -> str:
    """The path of a file of the store."""
    return join_path(store, "/".join(names)) if is_uri(store) else os.path.join(store, *names)


def is_local(store: str) -> bool:
    """Whether it is a folder of this machine rather than a URI."""
    return not is_uri(store)


def arrow_files(paths: list[str]) -> tuple[list[str], Any]:
    """The same files of one store as pyarrow takes them: their names, and the file system; None where that is local."""
    if not paths or not is_uri(paths[0]):
        return paths, None
    return [filesystem_of(path)[1] for path in paths], filesystem_of(paths[0])[0]


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
    if is_uri(path):
        return remote_location.put(path, content)
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
    if is_uri(folder):
        there = {name: size for name, size in remote_location.children(folder).items() if size is not None}
        return {name: there[name] for name in sorted(there) if name.endswith(suffix) and not name.startswith(".")}
    try:
        with os.scandir(folder) as entries:
            wanted = [e for e in entries if e.name.endswith(suffix) and not e.name.startswith(".")]
    except FileNotFoundError:
        return {}
    found = {}
    for entry in wanted:
        with suppress(FileNotFoundError):  # one that was removed meanwhile, or a link that leads nowhere
            found[entry.name] = entry.stat().st_size
    return dict(sorted(found.items()))


def list_names(folder: str) -> list[str]:
    """Names of everything directly in `folder`, temporaries and folders too, sorted; empty if it is missing."""
    if is_uri(folder):
        return sorted(remote_location.children(folder))
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def read_bytes(path: str) -> bytes:
    """All bytes of a file.

    Raises:
        FileNotFoundError: There is none.
    """
    return remote_location.read_all(path) if is_uri(path) else Path(path).read_bytes()


def map_file(path: str) -> pa.Buffer:
    """A file's bytes, memory-mapped; the mapping lives as long as the buffer and holds no file descriptor.

    A remote file is fetched whole; `RemoteBytes` reads parts of one.

    Raises:
        FileNotFoundError: There is none.
    """
    if is_uri(path):
        return pa.py_buffer(remote_location.read_all(path))
    with pa.memory_map(path) as file:
        return file.read_buffer() if file.size() else pa.py_buffer(b"")


def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    return remote_location.is_there(path) if is_uri(path) else os.path.exists(path)


def remove(path: str) -> None:
    """Remove a file; one that is gone already is fine."""
    if is_uri(path):
        remote_location.delete(path)
    else:
        _remove_if_there(path)


def rename(path: str, new: str) -> None:
    """Give a file another name in its folder; a file of that name is replaced. An object is copied, then removed."""
    if is_uri(path):
        remote_location.move(path, new)
    else:
        os.replace(path, new)


def free_bytes(store: str) -> int | None:
    """Bytes that the store's file system has left for this user; None where it does not say, as object stores do."""
    if is_uri(store):
        return None
    folder = next((parent for parent in [Path(store), *Path(store).parents] if parent.exists()), None)
    return shutil.disk_usage(folder).free if folder is not None else None


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
    folders = (store, join(store, DATA), join(store, QUARANTINE), join(store, PLAN))
    if is_uri(store):
        orphans = [
            path
            for folder in folders
            for path in remote_location.temporaries(folder, older_than_seconds=older_than_seconds)
        ]
        for path in orphans:
            remote_location.delete(path)
        return sorted(orphans)
    limit = time.time() - older_than_seconds
    removed = []
    for folder in folders:
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if remote_location.TEMPORARY.fullmatch(entry.name) and _is_older(entry, limit):
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
