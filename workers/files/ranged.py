"""Reading parts of a file: a seekable file object over byte ranges, with a few blocks kept.

file     |········|########|########|········|####|      # = block in memory
          block 0  block 1  block 2  block 3  4
requests           ^^^^^^^^^ one each, whole blocks, so that a header read and a decode in order make few of them
"""

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

ReadRange = Callable[[int, int], bytes]
"""Offset and length → that many bytes."""

_BLOCK_BYTES = 1 << 20
_KEPT_BLOCKS = 8
_WHOLE_BYTES = 4 << 20
"""A file up to this size is fetched at once."""


class Blocks:
    """Byte ranges of one file, by way of the blocks that were used last. Several `RangedFile`s may share it."""

    def __init__(self, read_range: ReadRange, size: int, *, block_bytes: int | None = None) -> None:
        """Read a file of `size` bytes with `read_range`."""
        self.size = size
        self._read_range = read_range
        self._block_bytes = block_bytes or (max(1, size) if size <= _WHOLE_BYTES else _BLOCK_BYTES)
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset` on, fewer at the end of the file.

        Raises:
            OSError: They cannot be read, or there are fewer than the size that the file was opened with promised.
        """
        length = max(0, min(length, self.size - offset))
        first, last = offset // self._block_bytes, (offset + length - 1) // self._block_bytes
        if length and first == last:
            start = offset - first * self._block_bytes
            return self._block(first)[start : start + length]
        pieces = [self._block(number) for number in range(first, last + 1)] if length else []
        start = offset - first * self._block_bytes
        return b"".join(pieces)[start : start + length]

    def fetch(self, offset: int, length: int) -> bytes:
        """Just these bytes, all within the file, and nothing kept of them.

        Raises:
            OSError: As `read`.
        """
        data = self._read_range(offset, length)
        if len(data) != length:
            raise OSError(f"expected {length} bytes from byte {offset} on, got {len(data)}: the file changed meanwhile")
        return data

    def _block(self, number: int) -> bytes:
        block = self._kept.get(number)
        if block is not None:
            self._kept.move_to_end(number)
            return block
        offset = number * self._block_bytes
        block = self._kept[number] = self.fetch(offset, min(self._block_bytes, self.size - offset))
        while len(self._kept) > _KEPT_BLOCKS:
            self._kept.popitem(last=False)
        return block


class RangedFile(io.RawIOBase):
    """A binary file for reading over `Blocks`."""

    def __init__(self, blocks: Blocks, *, name: str | None = None, on_close: Callable[[], None] | None = None) -> None:
        """Read `blocks` from the start.

        Args:
            blocks: The bytes.
            name: What libraries that look at a file's extension shall see.
            on_close: Called once when the file is closed.
        """
        super().__init__()
        self._blocks, self._position, self._on_close = blocks, 0, on_close
        if name is not None:
            self.name = name

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position, also one behind the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._blocks.size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to byte {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the file goes."""
        view = memoryview(buffer).cast("B")
        data = self._blocks.read(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Release what lies below."""
        if not self.closed and self._on_close is not None:
            self._on_close()
        super().close()
