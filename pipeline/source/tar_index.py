"""Where the members of a tar archive lie, from its headers alone.

```
│ header │ data … ·· │ header │ data ·│ … │ zeros │ zeros │·····
  512 B    size B, padded to 512          the end's mark   padding
```

Python's `tarfile` reads the headers. What it passes over in silence is looked at here, since a member that nobody
hears of is lost: a damaged header, an end without its mark, something behind it.
"""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_BLOCK = 512
_MAX_HEADER_BYTES = 8 << 20
"""Long names and attributes are read into memory: no more of them than this for one member."""
_MAX_PADDING_BYTES = 1 << 20

_COMPRESSED = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))


class ShardError(ValueError):
    """An archive cannot be read from here on; what came before is good."""

    def __init__(self, reason: str, *, complete: bool = False, name: str | None = None) -> None:
        """Say why.

        Args:
            reason: in words that follow "the shard".
            complete: whether all that came before is known to be there with all that belongs to it.
            name: of the member that is the first to be missing, if it is known.
        """
        super().__init__(reason)
        self.complete, self.name = complete, name


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive, or something that is refused."""

    name: str
    """Its path, without `.` and empty parts."""
    offset: int
    """Of its first byte of data in the archive."""
    size: int
    """Bytes."""
    problem: str | None = None
    """Why it is not read; None for a regular file with a name below the archive's root."""
    is_safe: bool = True
    """Whether the name stays below the archive's root, so that an item may be called after it."""


def read_members(file: BinaryIO) -> Iterator[Member]:
    """Yields the members of an archive in their order; folders are passed over.

    The file may be read and moved between two members.

    Raises:
        ShardError: it is no uncompressed tar, or it is damaged, cut short, or goes on behind its end.
        OSError: it cannot be read.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(6)
    file.seek(0)
    if not start:
        raise ShardError("empty file (0 bytes)")
    if kind := next((kind for magic, kind in _COMPRESSED if start.startswith(magic)), None):
        raise ShardError(f"is compressed with {kind}, so its members cannot be read in place; decompress it to a .tar")
    position = 0
    try:
        reads = _HeaderReads(file)
        archive = tarfile.TarFile(fileobj=reads, mode="r", encoding="utf-8", errors="surrogateescape")
        while (info := archive.next()) is not None:
            vars(archive)["members"].clear()  # else it keeps them all
            reads.begin_member()
            if info.size < 0 or archive.offset <= position:
                raise ShardError(f"damaged: the header at byte {info.offset:,} leads backwards")
            position = archive.offset
            if info.isreg() and info.offset_data + info.size > size:
                raise ShardError(
                    f"cut short: member {_shown(info.name)} needs bytes {info.offset_data:,} to"
                    f" {info.offset_data + info.size:,} of a file of {size:,}",
                    name=_plain(info.name),
                )
            if not info.isdir():
                yield _member(info)
        position = archive.offset
    except tarfile.TarError as error:
        raise ShardError(f"damaged behind byte {position:,}: {error}") from error
    except ShardError:
        raise
    except (
        ValueError,
        ArithmeticError,
        RecursionError,
        LookupError,
    ) as error:  # of headers that nobody wrote by accident
        raise ShardError(f"damaged behind byte {position:,}: {type(error).__name__}: {error}") from error
    _check_end(file, position, size)


def _member(info: tarfile.TarInfo) -> Member:
    name, problem, is_safe = _plain(info.name), None, True
    if info.name.startswith(("/", "\\")) or ".." in info.name.replace("\\", "/").split("/") or info.name[1:2] == ":":
        problem, is_safe = "its name leads out of the archive", False
    elif not name or not _is_unicode(info.name) or "\0" in info.name:
        problem, is_safe = "its name is not valid UTF-8, or empty", False
    elif info.issym() or info.islnk():
        problem = f"it is a link to {_shown(info.linkname)}; links are not followed"
    elif info.ischr() or info.isblk() or info.isfifo():
        problem = "it is a device or pipe, not a file"
    elif info.issparse():
        problem = "it is a sparse file, which cannot be read in place"
    elif not info.isreg():
        problem = f"it is of type {info.type!r}, not a file"
    if problem:
        problem = f"member {_shown(info.name)} at byte {info.offset_data:,} is refused: {problem}"
    return Member(name, info.offset_data, info.size, problem, is_safe)


def _check_end(file: BinaryIO, position: int, size: int) -> None:
    """Looks whether the archive ends where `tarfile` stopped, and with it the file.

    Raises:
        ShardError: it does not.
    """
    file.seek(position)
    block = file.read(_BLOCK)
    if any(block):
        what = "cut short within a header" if len(block) < _BLOCK else "damaged: no header"
        raise ShardError(f"{what} at byte {position:,}")
    if len(block) < _BLOCK:
        raise ShardError(
            f"has no end mark at byte {position:,}, so it may be cut short; write it again, or add 1,024 zeros"
        )
    rest = size - file.tell()
    if rest > _MAX_PADDING_BYTES or any(file.read(rest)):
        raise ShardError(
            f"goes on behind its end mark at byte {position:,}, like archives that were put together;"
            " unpack it with `tar -i` and pack it again",
            complete=True,
        )


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _shown(name: str) -> str:
    shown = ascii(name)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


class _HeaderReads(io.RawIOBase):
    """A file that gives no more than headers need: hostile ones ask for gigabytes, or for a negative number."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._budget = _MAX_HEADER_BYTES

    def begin_member(self) -> None:
        """Allow the bytes of one more member's headers."""
        self._budget = _MAX_HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        """Some bytes.

        Raises:
            ShardError: nobody needs so many.
        """
        self._budget -= size
        if size < 0 or self._budget < 0:
            raise ShardError(f"damaged: a header at byte {self._file.tell():,} claims {size:,} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves the file.

        Raises:
            ShardError: to before its start.
        """
        if offset < 0:
            raise ShardError(f"damaged: a header leads to byte {offset:,}")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The file's position."""
        return self._file.tell()
