"""Values read in place equal pyarrow's, and a damaged file is never read as data."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.store.part import DamagedPartError, Part, read_part_table
from pipeline.store.writer import PartWriter


@pytest.mark.parametrize("variable_length", [False, True])
@pytest.mark.parametrize("num_rows", [1, 300])
def test_offsets_point_at_the_values_that_pyarrow_decodes(
    tmp_path: Path, moments: Any, variable_length: bool, num_rows: int
) -> None:
    shape = (64, 128)  # several row groups
    schema = moments.schema(shape, variable_length=variable_length)
    table = moments.table(range(num_rows), shape=shape, variable_length=variable_length)
    receipt = PartWriter(str(tmp_path), schema, durable=False).commit(table)
    part = Part(str(tmp_path / "data" / receipt.file))
    assert (part.metadata.num_row_groups > 1) == (num_rows > 1)
    for name in ("latent_mean", "latent_logvar"):
        offsets, sizes = part.value_offsets(name), part.value_sizes(name)
        assert offsets is not None
        found = [bytes(part.bytes[o : o + n]) for o, n in zip(offsets, sizes, strict=True)]
        assert found == pq.read_table(part.path).column(name).to_pylist()


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd"},
        {"compression": "none", "use_dictionary": True},
        {"compression": "none", "use_dictionary": False, "data_page_size": 100, "write_batch_size": 1},
        {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
        {
            "compression": "none",
            "use_dictionary": False,
            "column_encoding": dict.fromkeys(["latent_mean", "latent_logvar"], "BYTE_STREAM_SPLIT"),
        },
    ],
)
def test_other_layouts_are_not_read_in_place(tmp_path: Path, moments: Any, options: dict[str, Any]) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(moments.table(range(20)), path, **options)
    assert Part(str(path)).value_offsets("latent_mean") is None


def test_truncated_at_any_byte(tmp_path: Path, store: Path) -> None:
    whole = next((store / "data").iterdir()).read_bytes()
    path = tmp_path / "part-x.parquet"
    for length in [0, 1, 4, 8, 11, 12, len(whole) - 1, *random.Random(0).sample(range(len(whole)), 60)]:
        path.write_bytes(whole[:length])
        message = r"part-x\.parquet \([\d,]+ bytes\) is damaged: .*or run the job again"
        with pytest.raises(DamagedPartError, match=message):
            read_part_table(str(path))


def test_footer_of_zeros(tmp_path: Path, store: Path) -> None:
    whole = bytearray(next((store / "data").iterdir()).read_bytes())
    whole[-600:-8] = bytes(592)
    path = tmp_path / "part-x.parquet"
    path.write_bytes(whole)
    with pytest.raises(DamagedPartError, match="is damaged"):
        read_part_table(str(path))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        Part(str(tmp_path / "none.parquet"))


def test_first_rows(store: Path) -> None:
    part = Part(str(next((store / "data").iterdir())))
    assert part.first_rows.tolist() == [0, len(part)]
    assert np.dtype(part.first_rows.dtype) == np.int64
