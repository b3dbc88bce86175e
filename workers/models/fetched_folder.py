"""A model's folder at a URI, fetched once per machine into a folder of its cache.

```
~/.cache/latentmill/weights/4f1c…/config.json        4f1c… = hash of the URI, and of names, sizes and times of the
~/.cache/latentmill/weights/4f1c…/model.safetensors          files there: changed ones get another folder
```
"""

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path

from workers.files import FileEntry, join_path, list_folder, open_file, scheme_of, stat_file
from workers.files.uri import WEB

_PIECE_BYTES = 8 << 20


def fetch_folder(uri: str, patterns: Sequence[str], *, needs_config: bool = True) -> Path:
    """The local copy of a folder, with those of its files that match.

    Args:
        uri: Of the folder.
        patterns: Names relative to it, in which `*` stands for anything but `/`. On the web, where nothing can be
            listed, the files are looked for that are named if `*` stands for nothing.
        needs_config: Refuse a folder without `config.json`.

    Raises:
        ValueError: There is no `config.json` in it that it needs, or it cannot be read; the message says why.
    """
    try:
        files = _files_on_the_web(uri, patterns) if scheme_of(uri) in WEB else _files(uri)
        wanted = {name: entry for name, entry in files.items() if any(_matches(name, pattern) for pattern in patterns)}
        if needs_config and not any(name.rpartition("/")[2] == "config.json" for name in wanted):
            raise ValueError(f"no config.json in {uri}: give the folder that save_pretrained (or save) wrote")
        folder = _cache() / _key(uri, files)
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            for name, entry in wanted.items():
                _fetch(entry, folder / name)
        return folder
    except OSError as error:
        raise ValueError(f"cannot fetch the model from {uri}: {error}") from error


def _files(uri: str) -> dict[str, FileEntry]:
    """By name relative to the folder; without those that would lie elsewhere."""
    prefix = f"{uri}/"
    named = ((entry.path.removeprefix(prefix), entry) for entry in list_folder(uri))
    return {name: entry for name, entry in named if ".." not in name.split("/") and not name.startswith("/")}


def _files_on_the_web(uri: str, patterns: Sequence[str]) -> dict[str, FileEntry]:
    found = {}
    for name in dict.fromkeys(pattern.replace("*", "") for pattern in patterns):
        with suppress(FileNotFoundError):
            found[name] = stat_file(join_path(uri, name))
    return found


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


def _key(uri: str, files: dict[str, FileEntry]) -> str:
    """Name of the copy: another one where anything that could be a weight changed."""
    digest = blake2b(uri.encode(), digest_size=16)
    for name, entry in sorted(files.items()):
        digest.update(f"\0{name}\0{entry.size}\0{entry.modified_ns}".encode())
    return digest.hexdigest()


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "latentmill" / "weights"


def _fetch(entry: FileEntry, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with open_file(entry.path) as source, temporary.open("wb") as file:
            while piece := source.read(_PIECE_BYTES):
                file.write(piece)
            if file.tell() != entry.size:
                raise OSError(f"{entry.path}: {entry.size} bytes expected, got {file.tell()}")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let the processes of a machine fetch one after the other: the second finds what the first has fetched."""
    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
