"""Folders of files, on disks and in object stores."""

import os
from collections.abc import Sequence
from itertools import takewhile

from pipeline.source.errors import SourceError
from pipeline.source.store_source import is_store
from pipeline.store import location
from workers.files import is_uri, list_folder


def scan_folder(folder: str, *, everything: bool = False) -> list[str]:
    """Files below `folder`; a linked folder is followed once, never in circles.

    Args:
        folder: its path or URI.
        everything: also those that are hidden, and those of stores below: what a job made of the rest is no source.

    Raises:
        SourceError: it cannot be listed.
    """
    if is_uri(folder):
        return _scan_uri(folder, everything)
    files: list[str] = []

    def fail(error: OSError) -> None:
        raise SourceError(f"source.path: cannot list {error.filename!r}: {error.strerror}") from error

    seen = {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        if not everything and parent != folder and location.MANIFEST in names and is_store(parent):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if everything or not name.startswith("."))
        for name in [name for name in folders if os.path.islink(os.path.join(parent, name))]:
            target = os.path.realpath(os.path.join(parent, name))
            if target in seen or (os.path.realpath(parent) + os.sep).startswith(target + os.sep):
                folders.remove(name)
            seen.add(target)
        files += [os.path.join(parent, name) for name in names if everything or not name.startswith(".")]
    return files


def _scan_uri(folder: str, everything: bool) -> list[str]:
    try:
        files = [entry.path for entry in list_folder(folder)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise SourceError(f"source.path: cannot list {folder!r}: {error}") from error
    if everything:
        return files
    names = relative_names(files, folder)
    shown = [file for file, name in zip(files, names, strict=True) if "/." not in "/" + name]
    parents = [file.rpartition("/")[0] for file in shown if file.endswith("/" + location.MANIFEST)]
    stores = tuple(parent + "/" for parent in parents if parent != folder.rstrip("/") and is_store(parent))
    return [file for file in shown if not file.startswith(stores)]


def relative_names(files: Sequence[str], folder: str) -> list[str]:
    """What files below `folder` are called, with `/` on every system; as they are if there is no such folder."""
    if not folder:
        return list(files)
    prefix = folder.rstrip("/") + "/"
    if is_uri(folder) or all(file.startswith(prefix) for file in files):
        return [file.removeprefix(prefix) for file in files]
    return [os.path.relpath(file, folder).replace(os.sep, "/") for file in files]


def common_folder(files: Sequence[str]) -> str:
    """The deepest folder that holds all files; empty if some are local and others are not, or in different stores."""
    parents = [file.rpartition("/")[0] if is_uri(file) else os.path.dirname(file) for file in files]
    if not any(is_uri(file) for file in files):
        return os.path.commonpath(parents)
    split = [parent.split("/") for parent in parents]
    first, last = min(split), max(split)
    shared = [part for part, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))]
    return "/".join(shared) if len(shared) >= 3 and all(is_uri(file) for file in files) else ""
