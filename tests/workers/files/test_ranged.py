import io

import numpy as np
import pytest

from workers.files.ranged import Blocks, RangedFile

DATA = np.random.default_rng(0).bytes(10_000)


def reader(requests: list[tuple[int, int]], data: bytes = DATA) -> Blocks:
    """`data` in blocks of 1,000 bytes, with each request noted."""

    def read(offset: int, length: int) -> bytes:
        requests.append((offset, length))
        return data[offset : offset + length]

    return Blocks(read, 9_500, block_bytes=1_000)


def test_reads_like_a_file_at_any_place() -> None:
    file, expected = io.BufferedReader(RangedFile(reader([])), 300), io.BytesIO(DATA[:9_500])
    rng = np.random.default_rng(1)
    for _ in range(500):
        whence = int(rng.integers(3))
        offset = int(rng.integers(-2_000, 11_000)) if whence != io.SEEK_SET else int(rng.integers(11_000))
        if whence == io.SEEK_CUR:
            offset = max(offset, -expected.tell())
        assert file.seek(offset, whence) == expected.seek(offset, whence)
        length = int(rng.integers(3_000))
        assert file.read(length) == expected.read(length)
        assert file.tell() == expected.tell()


def test_blocks_are_fetched_once_and_the_oldest_forgotten() -> None:
    requests: list[tuple[int, int]] = []
    blocks = reader(requests)
    assert blocks.read(1_500, 1_000) == DATA[1_500:2_500]
    assert blocks.read(1_000, 2_000) == DATA[1_000:3_000]
    assert blocks.read(9_400, 600) == DATA[9_400:9_500]
    assert requests == [(1_000, 1_000), (2_000, 1_000), (9_000, 500)]
    for number in (3, 4, 5, 6, 7, 8):
        blocks.read(number * 1_000, 1)
    blocks.read(2_000, 1)
    assert len(requests) == 9
    blocks.read(1_000, 1)
    assert len(requests) == 10


def test_a_small_file_is_one_request() -> None:
    requests = []
    blocks = Blocks(lambda offset, length: requests.append((offset, length)) or DATA, len(DATA))
    blocks.read(0, 10)
    blocks.read(9_000, 10)
    assert requests == [(0, len(DATA))]


def test_a_file_that_shrank_is_no_end_of_file() -> None:
    blocks = reader([], DATA[:5_500])
    assert blocks.read(0, 10) == DATA[:10]
    with pytest.raises(OSError, match="expected 1000 bytes from byte 5000 on, got 500: the file changed meanwhile"):
        blocks.read(5_200, 10)


def test_closing_releases_what_lies_below() -> None:
    closed: list[int] = []
    file = io.BufferedReader(RangedFile(reader([]), on_close=lambda: closed.append(1)))
    file.close()
    file.close()
    assert closed == [1]
