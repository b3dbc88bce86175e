"""Where the bytes of a recording lie: a file, a stretch of a file, or a cell of a table; here or at a URI.

`_path` and `_member` of a plan's unit name it:

    path                     member                      the recording is
    /data/kick.wav           none                        the file
    s3://sounds/kick.wav     none                        the object
    …/shard-0001.tar         bytes:1536+88244            88,244 bytes of it, from byte 1,536 on
    …/train-0001.parquet     row:audio.bytes:3:17        the value of that column in row 17 of row group 3

The decoders read whole local files by themselves, by name; all else they get as file objects.
"""

import io
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import BinaryIO, cast
from urllib.parse import quote, unquote

from workers.files import RemoteFile, StorageUnavailableError, is_uri
from workers.files.ranged import Blocks, RangedFile
from workers.files.uri import redacted
from workers.media.errors import MediaError, UnavailableFileError
from workers.media.parquet_cell import read_cell

_BYTES = re.compile(r"bytes:(\d+)\+(\d+)")
_ROW = re.compile(r"row:([^:]+):(\d+):(\d+)")

_SAMPLES = 16
_SAMPLE_BYTES = 4096
_FEW_BYTES = 1 << 20
"""Up to here, all of a remote recording takes one request and little longer than one sample of it."""

_SHARED_SECONDS = 60
"""How long the archive that many members lie in is trusted to be as it was."""


def bytes_member(offset: int, length: int) -> str:
    """The member that is `length` bytes from byte `offset` on."""
    return f"bytes:{offset}+{length}"


def row_member(column: Sequence[str], row_group: int, row: int) -> str:
    """The member that is a cell of a Parquet file.

    Args:
        column: Its name, and for a field of a struct the names on the way to it: `("audio", "bytes")`.
        row_group: Number of the row group.
        row: Number of the row within the row group.
    """
    path = ".".join(quote(name, safe="").replace(".", "%2E") for name in column)
    return f"row:{path}:{row_group}:{row}"


class MediaFile:
    """The bytes of one recording. Close it, or use it in a `with`."""

    def __init__(self, path: str, member: str | None = None) -> None:
        """Look whether they are there.

        Args:
            path: A local path or a URI.
            member: Where in it, as above; None if it is all of it.

        Raises:
            MediaError: There is no such file or member, it may not be read, or it is empty.
            workers.files.StorageUnavailableError: Its store does not answer.
        """
        self.local_path: str | None = None
        """Name of the file, where it is a whole local one."""
        self.failure: Exception | None = None
        """What kept a decoder from reading. Some take that for the end of the file: ask `check` when they are done."""
        self._close: Callable[[], None] = lambda: None
        self._name: str | None = None
        if member is None and not is_uri(path):
            self.local_path = path
            self.size: int = _check_local(path)
            """Bytes."""
            return
        try:
            self._blocks = self._find(path, member)
        except StorageUnavailableError:
            raise
        except (OSError, ValueError) as error:
            raise _media_error(error) from error
        self.size = self._blocks.size
        if self.size == 0:
            self.close()
            raise MediaError("empty file (0 bytes)" if member is None else f"empty: 0 bytes at {member}")

    def source(self) -> str | BinaryIO:
        """What a decoder opens: the path of a whole local file, else a file object of its own, at the start."""
        if self.local_path is not None:
            return self.local_path
        return cast(BinaryIO, io.BufferedReader(_Guarded(self, self._blocks, self._name), 1 << 15))

    def read_at(self, offset: int, length: int) -> bytes:
        """Some of the bytes; fewer at the end.

        Raises:
            OSError: They cannot be read.
        """
        if self.local_path is not None:
            with open(self.local_path, "rb") as file:
                file.seek(offset)
                return file.read(length)
        return self._blocks.read(offset, length)

    def fingerprint(self) -> bytes:
        """BLAKE2b-128 of 16 blocks of 4 KiB, spread evenly from the first byte to the last.

        Tells a recording that was merely touched or copied from one that was changed, at the cost of a few reads. What
        it cannot see is a change that leaves the size as it was and lies between the blocks. It is the same wherever
        the bytes lie.

        Raises:
            OSError: They cannot be read.
        """
        digest = blake2b(digest_size=16)
        for sample in self._samples():
            digest.update(sample)
        return digest.digest()

    def _samples(self) -> Iterator[bytes]:
        if self.local_path is not None:
            with open(self.local_path, "rb", buffering=0) as file:
                for offset in self._sample_offsets():
                    yield os.pread(file.fileno(), _SAMPLE_BYTES, offset)
            return
        read = self._blocks.read if self.size <= _FEW_BYTES else self._blocks.fetch
        for offset in self._sample_offsets():
            yield read(offset, min(_SAMPLE_BYTES, self.size - offset))

    def _sample_offsets(self) -> list[int]:
        return [max(0, self.size - _SAMPLE_BYTES) * index // (_SAMPLES - 1) for index in range(_SAMPLES)]

    def check(self) -> None:
        """Raise what kept a decoder from reading, if anything did.

        Raises:
            workers.files.StorageUnavailableError: The store stopped answering.
            MediaError: The file went away or changed meanwhile.
        """
        if isinstance(self.failure, StorageUnavailableError):
            raise self.failure
        if self.failure is not None:
            raise _media_error(self.failure) from self.failure

    def close(self) -> None:
        """Release the file; what `source` gave cannot be read any more."""
        self._close()
        self._close = lambda: None

    def __enter__(self) -> "MediaFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, path: str, member: str | None) -> Blocks:
        if member is not None and (cell := _ROW.fullmatch(member)):
            data = read_cell(path, [unquote(name) for name in cell[1].split(".")], int(cell[2]), int(cell[3]))
            return Blocks(lambda offset, length: data[offset : offset + length], len(data))
        if member is None:
            remote = RemoteFile(path)
            self._close = remote.close
            self._name = path.partition("?")[0].rpartition("/")[2]
            return Blocks(remote.read, remote.size)
        begin, length = _byte_range(member)
        if is_uri(path):
            shared = _shared(path, os.getpid(), _minute())
            read, size = shared.read, shared.size
        else:
            size = _check_local(path)
            file = open(path, "rb")  # noqa: SIM115 (closed by `close`)
            self._close = file.close

            def read(offset: int, length: int) -> bytes:
                file.seek(offset)
                return file.read(length)

        if begin + length > size:
            self.close()
            raise MediaError(f"cut off: bytes {begin:,} to {begin + length:,} of a file of {size:,} bytes")
        return Blocks(lambda offset, length: read(begin + offset, length), length)


class _Guarded(RangedFile):
    """A file object that never raises in reading: decoders call it from C, where errors are lost."""

    def __init__(self, media: MediaFile, blocks: Blocks, name: str | None) -> None:
        super().__init__(blocks, name=name)
        self._media = media

    def readinto(self, buffer: object) -> int:
        """As `RangedFile.readinto`; the end of the file is seen where reading fails, and the failure is kept."""
        try:
            return super().readinto(buffer)
        except Exception as error:  # noqa: BLE001 (whatever it is, `MediaFile.check` raises it)
            self._media.failure = error
            return 0


def _byte_range(member: str) -> tuple[int, int]:
    if (place := _BYTES.fullmatch(member)) is None:
        raise MediaError(f"not a member: {member!r}; expected bytes:OFFSET+LENGTH or row:COLUMN:ROWGROUP:ROW")
    return int(place[1]), int(place[2])


@lru_cache(maxsize=32)
def _shared(path: str, process: int, minute: int) -> RemoteFile:  # noqa: ARG001 (what the answer holds for)
    """An archive that many members are read from, opened once rather than for each."""
    return RemoteFile(path)


def _minute() -> int:
    return int(time.monotonic() // _SHARED_SECONDS)


def _media_error(error: Exception) -> MediaError:
    """The reason in plain words."""
    if isinstance(error, MediaError):
        return error
    if isinstance(error, FileNotFoundError):
        return UnavailableFileError("no such file")
    if isinstance(error, IsADirectoryError):
        return MediaError("is a folder, not a file")
    if isinstance(error, PermissionError):
        return UnavailableFileError("cannot open: no permission to read it")
    if isinstance(error, OSError):
        return UnavailableFileError(f"cannot open: {redacted(error.strerror or str(error))}")
    return MediaError(f"cannot open: {redacted(str(error))}")


def _check_local(path: str) -> int:
    """Size in bytes. Says plainly what the libraries report as a bad format, and keeps URLs away from FFmpeg."""
    try:
        path.encode()
        status = os.stat(path)
    except FileNotFoundError:
        raise UnavailableFileError("no such file") from None
    except OSError as error:
        raise UnavailableFileError(f"cannot open: {error.strerror}") from error
    except ValueError as error:  # a lone surrogate or a NUL, from file names that are not UTF-8
        raise MediaError(f"the file name cannot be used: {error}; rename the file") from error
    if stat.S_ISDIR(status.st_mode):
        raise MediaError("is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError("is not a regular file")
    if status.st_size == 0:
        raise MediaError("empty file (0 bytes)")
    if not os.access(path, os.R_OK):
        raise UnavailableFileError("cannot open: no permission to read it")
    return status.st_size
