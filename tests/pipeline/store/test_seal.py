"""A file that carries its own checksum: any byte of it that changes is found, and readers do not notice it."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store.part import Part
from pipeline.store.seal import KEY, check_seal, write_sealed

TABLE = pa.table({"id": [f"unit {row}" for row in range(300)], "value": pa.array(range(300), pa.float32())})


def sealed_file(path: Path, table: pa.Table = TABLE, **options: Any) -> bytearray:
    with pa.OSFile(str(path), "wb") as file:
        write_sealed(table, file, **options)
    return bytearray(path.read_bytes())


def state(content: bytes | bytearray) -> str:
    return check_seal(bytes(content))


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"row_group_size": 7}])
def test_a_file_as_written_is_intact_and_any_parquet_reader_reads_it(tmp_path: Path, options: dict[str, Any]) -> None:
    content = sealed_file(tmp_path / "x.parquet", **options)
    assert state(content) == "intact"
    assert pq.read_table(tmp_path / "x.parquet", page_checksum_verification=True).equals(TABLE)


def test_a_table_that_was_read_from_a_sealed_file_is_sealed_anew(tmp_path: Path) -> None:
    sealed_file(tmp_path / "x.parquet")
    table = pq.ParquetFile(tmp_path / "x.parquet").read()
    assert KEY in table.schema.metadata  # pyarrow hands a file's metadata on
    assert state(sealed_file(tmp_path / "y.parquet", table.slice(5))) == "intact"


def test_every_flipped_bit_is_found_wherever_it_is(tmp_path: Path) -> None:
    content = sealed_file(tmp_path / "x.parquet", TABLE.slice(0, 3))
    for bit in range(8 * len(content)):
        content[bit // 8] ^= 1 << bit % 8
        assert state(content) == "broken", f"bit {bit % 8} of byte {bit // 8}"
        content[bit // 8] ^= 1 << bit % 8
    assert state(content) == "intact"


def test_every_cut_and_every_added_byte_is_found(tmp_path: Path) -> None:
    content = sealed_file(tmp_path / "x.parquet", TABLE.slice(0, 3))
    assert {state(content[:length]) for length in range(len(content))} == {"broken"}
    assert state(content + b"\0") == "broken"
    assert state(content[:4] + b"\0" + content[4:]) == "broken"


def test_swapped_stretches_are_found(tmp_path: Path) -> None:
    content = sealed_file(tmp_path / "x.parquet")
    rng = random.Random(0)
    for _ in range(50):
        first, second = sorted(rng.sample(range(len(content) - 16), 2))
        swapped = bytearray(content)
        swapped[first : first + 8], swapped[second : second + 8] = (
            content[second : second + 8],
            content[first : first + 8],
        )
        assert swapped == content or state(swapped) == "broken"


def test_files_of_other_writers_have_none(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "x.parquet")
    assert state((tmp_path / "x.parquet").read_bytes()) == "absent"


def test_parts_are_sealed_have_page_checksums_and_are_read_in_place(tmp_path: Path, moments: Any, store: Path) -> None:
    for path in (store / "data").iterdir():
        content = bytearray(path.read_bytes())
        assert state(content) == "intact"
        offsets = Part(str(path)).value_offsets("latent_mean")
        assert offsets is not None
        content[int(offsets[0])] ^= 1
        (tmp_path / "bad.parquet").write_bytes(content)
        with pytest.raises(OSError, match="CRC checksum verification failed"):
            pq.read_table(tmp_path / "bad.parquet", page_checksum_verification=True)
    assert moments


def test_a_full_disk_is_told(tmp_path: Path) -> None:  # noqa: ARG001
    with pytest.raises(OSError, match="No space left on device"), pa.OSFile("/dev/full", "wb") as file:
        write_sealed(TABLE, file)
