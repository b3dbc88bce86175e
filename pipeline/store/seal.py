"""A checksum of a whole Parquet file inside that file, so that any byte of it that changes later is found.

Parquet's own page checksums cover the pages' values and nothing else: neither the page headers nor the footer, where
row counts, offsets, minima and maxima stand. So each file of a store carries a CRC-32 of all its bytes in its footer's
metadata. It is computed over the file with eight zeros in its own place:

```
PAR1 │ pages … │ footer: … latentmill.checksum = crc32:00000000 … │ length │ PAR1
└────────────────────────────── CRC-32 over all of it ──────────────────────────┘
                                                then filled in → crc32:9ab3f01c
```
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

SealState = Literal["intact", "broken", "absent"]

KEY = b"latentmill.checksum"
_PREFIX, _BLANK, _SUFFIX = b"crc32:", b"00000000", b" with zeros in its own place"
_MAGIC = b"PAR1"
_TRAILER_BYTES = 8  # length of the footer, and the magic
# As the footer's Thrift encoding (compact protocol) has it: the key, then field 2 of type binary, length and bytes.
_LABEL = KEY + bytes([0x18, len(_PREFIX + _BLANK + _SUFFIX)]) + _PREFIX


@contextmanager
def sealed_parquet(file: pa.NativeFile, schema: pa.Schema, **options: Any) -> Iterator[pq.ParquetWriter]:
    """A Parquet writer whose file will carry its own checksum, and one of each page.

    Args:
        file: Where to write, from its present position on; it is left open.
        schema: Of the tables that will be written.
        **options: Of `pyarrow.parquet.ParquetWriter`.
    """
    sink = _Sink(file)
    inherited = {key: value for key, value in (schema.metadata or {}).items() if key != KEY}  # of a file that was read
    schema = schema.with_metadata(inherited or None)
    with pq.ParquetWriter(sink, schema, write_page_checksum=True, **options) as writer:
        yield writer
        writer.add_key_value_metadata({KEY: _PREFIX + _BLANK + _SUFFIX})
        sink.hold()  # what comes now is the footer
    sink.release()


def write_sealed(table: pa.Table, file: pa.NativeFile, *, row_group_size: int | None = None, **options: Any) -> None:
    """Writes a table as a Parquet file that carries its own checksum; otherwise like `pyarrow.parquet.write_table`."""
    with sealed_parquet(file, table.schema, **options) as writer:
        writer.write_table(table, row_group_size=row_group_size)


def check_seal(content: bytes) -> SealState:
    """Whether the bytes of a Parquet file are those that were written.

    Args:
        content: All bytes of the file.

    Returns:
        `absent` if the file carries no checksum, as those of other writers and of earlier versions do.
    """
    if not _is_framed(content):
        return "broken"
    place = content.rfind(_LABEL)
    if place < 0:
        # Damage to the label must not make the file look as if it never had one, so it has two marks, far apart.
        return "broken" if KEY in content or _SUFFIX in content else "absent"
    place += len(_LABEL)
    written = content[place : place + len(_BLANK)]
    view = memoryview(content)
    checksum = zlib.crc32(view[place + len(_BLANK) :], zlib.crc32(_BLANK, zlib.crc32(view[:place])))
    return "intact" if _hex(checksum) == written else "broken"


def _is_framed(content: bytes) -> bool:
    """Whether these bytes begin and end like a Parquet file."""
    if len(content) < len(_MAGIC) + _TRAILER_BYTES or not (content.startswith(_MAGIC) and content.endswith(_MAGIC)):
        return False
    return int.from_bytes(content[-8:-4], "little") <= len(content) - len(_MAGIC) - _TRAILER_BYTES


def _hex(checksum: int) -> bytes:
    return f"{checksum:08x}".encode()


class _Sink:
    """Passes bytes on to a file and sums them up; holds the last of them back until the sum can be put into them."""

    closed = False

    def __init__(self, file: pa.NativeFile) -> None:
        self._file = file
        self._crc = 0
        self._written = 0
        self._held: list[bytes] | None = None

    def write(self, data: bytes) -> int:
        self._written += len(data)
        if self._held is not None:
            self._held.append(data)
        else:
            self._crc = zlib.crc32(data, self._crc)
            self._file.write(data)
        return len(data)

    def hold(self) -> None:
        self._held = []

    def release(self) -> None:
        """Writes the footer, with the checksum in it."""
        footer = b"".join(self._held or [])
        before, label, after = footer.rpartition(_LABEL + _BLANK)
        assert label, "the footer lacks the metadata that was added to it"
        checksum = _hex(zlib.crc32(footer, self._crc))
        self._file.write(before + _LABEL + checksum + after)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Nothing to do: the file flushes itself when it is closed."""

    def close(self) -> None:
        """Leaves the file open: it is the caller's."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False
