"""A remote file opened for reading byte ranges."""

import errno
from typing import Any, cast

from workers.files.filesystem import filesystem_of, fsspec_of
from workers.files.ranged import Blocks, RangedFile
from workers.files.retry import retried


class RemoteFile:
    """A file at a URI. `read` may be called from several threads at once."""

    def __init__(self, path: str) -> None:
        """Ask for its size.

        Raises:
            FileNotFoundError, PermissionError, IsADirectoryError: As the words say.
            workers.files.StorageUnavailableError: The server does not answer.
            ValueError: `check_uri` refuses the path, or a web server does not say how long the file is.
        """
        self.path = path
        filesystem, self._name = filesystem_of(path)
        self._fsspec = fsspec_of(filesystem)
        self._whole: bytes | None = None
        if self._fsspec is not None:
            self.size = int(fsspec_info(self._fsspec, self._name, path)["size"])
            return
        self._file = retried(lambda: filesystem.open_input_file(self._name), path)
        self.size = int(self._file.size())

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset` on, fewer where the file ends.

        Raises:
            OSError: As in opening it.
        """
        if self._fsspec is None:
            return cast(bytes, retried(lambda: self._file.read_at(length, offset), self.path))
        if self._whole is None:
            end = min(self.size, offset + length)
            data = cast(bytes, retried(lambda: self._fsspec.cat_file(self._name, offset, end), self.path))
            if len(data) <= end - offset:
                return data
            self._whole = data  # it sent more than was asked for: a server without ranges, and this is the file
        return self._whole[offset : offset + length]

    @property
    def is_native(self) -> bool:
        """Whether Arrow reads it by itself, several ranges at once."""
        return self._fsspec is None

    def for_arrow(self) -> Any:
        """The file as a `pyarrow.NativeFile`; one that is not native is read by one thread at a time."""
        if self._fsspec is None:
            return self._file
        import pyarrow as pa

        return pa.PythonFile(RangedFile(Blocks(self.read, self.size)), mode="r")

    def close(self) -> None:
        """Release it."""
        if self._fsspec is None:
            self._file.close()


def fsspec_info(filesystem: Any, name: str, path: str) -> dict[str, Any]:
    """What fsspec knows about a file, its `size` for certain.

    Raises:
        OSError, ValueError: As in opening a `RemoteFile`.
    """
    info = cast(dict[str, Any], retried(lambda: filesystem.info(name), path))
    if info["type"] == "directory":
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", path)
    if info.get("size") is None:
        raise ValueError(f"{path}: the server does not say how long it is (no Content-Length); download it first")
    return info
