"""Where the values of a Parquet column chunk begin, so that one of them can be read without decoding the rest.

A chunk of `n` plain, uncompressed, non-null values in a single page is

```
page header (Thrift) │ value 0 │ value 1 │ … │ value n-1 │
└── data_page_offset └── + total_compressed_size − payload size
```

The footer gives both numbers. Two pages would shift the values by the second header, so the page's own header is read
as well: it must say that the whole payload is in it. Format: https://github.com/apache/parquet-format (`PageHeader`).
"""

import pyarrow.parquet as pq

from pipeline.store.remote_bytes import RemoteBytes

_PLAIN = {"PLAIN", "RLE", "BIT_PACKED"}  # the latter two encode levels, which non-null values do not have
_DATA_PAGE = 0
_LONGEST_HEADER_BYTES = 4096  # a data page's is some 30 bytes, with minimum and maximum of a short value some more
_I32_NEXT_FIELD = 0x15  # Thrift compact protocol: field id one up, type i32


def plain_payload(file: memoryview | RemoteBytes, chunk: pq.ColumnChunkMetaData, payload_bytes: int) -> int | None:
    """Offset in the file of a chunk's first value.

    Args:
        file: All bytes of the Parquet file.
        chunk: The footer's entry of a column without nulls.
        payload_bytes: Length of all its values, with the length prefixes of those of varying width.

    Returns:
        The offset, or none if the chunk is not a single page of plain, uncompressed values.
    """
    if chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page or not set(chunk.encodings) <= _PLAIN:
        return None
    start, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
    payload = end - payload_bytes
    if end > len(file) or not start < payload <= start + _LONGEST_HEADER_BYTES:
        return None
    header = _i32_fields(bytes(file[start:payload]), count=3)  # type, uncompressed_page_size, compressed_page_size
    return payload if header == [_DATA_PAGE, payload_bytes, payload_bytes] else None


def header_range(chunk: pq.ColumnChunkMetaData, payload_bytes: int) -> tuple[int, int]:
    """Where `plain_payload` will look: first byte, and the byte after the last; an empty range if nowhere."""
    start = chunk.data_page_offset
    length = chunk.total_compressed_size - payload_bytes
    return start, start + (length if 0 < length <= _LONGEST_HEADER_BYTES else 0)


def _i32_fields(header: bytes, count: int) -> list[int]:
    """The first fields of a Thrift compact struct, as long as they are i32 and numbered 1, 2, 3, …"""
    fields: list[int] = []
    position = 0
    while len(fields) < count and position < len(header) and header[position] == _I32_NEXT_FIELD:
        position += 1
        value = shift = 0
        while position < len(header):
            byte = header[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        fields.append((value >> 1) ^ -(value & 1))  # zigzag
    return fields
