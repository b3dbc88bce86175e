"""Flips and cuts in parts are found, told apart and named."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store.inspection import PartFacts, inspect_part, inspect_table
from pipeline.store.part import Part
from pipeline.store.writer import PartWriter


def parts(store: Path) -> list[Path]:
    return sorted((store / "data").iterdir())


def inspect(path: Path) -> PartFacts:
    return inspect_part(str(path.parent.parent), path.name, None)


def flip(path: Path, position: int, mask: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= mask
    path.write_bytes(content)


def told(path: Path) -> str:
    return "; ".join(finding.what for finding in inspect(path).findings)


def test_sound_parts(store: Path) -> None:
    facts = [inspect(path) for path in parts(store)]
    assert [one.findings for one in facts] == [[], [], []]
    assert {one.seal for one in facts} == {"intact"}
    assert sum(len(one.ids) for one in facts) == 50
    assert all(
        one.digests.equals(Part(str(path)).read(["row_digest"]).column(0).combine_chunks())
        for one, path in zip(facts, parts(store), strict=True)
    )
    assert facts[0].sums["latent_mean"].counts[0] == len(facts[0].ids) * 6


def test_a_flip_in_a_tensor_names_the_unit_and_the_column(store: Path) -> None:
    path = parts(store)[1]
    part = Part(str(path))
    offsets = part.value_offsets("latent_logvar")
    assert offsets is not None
    flip(path, int(offsets[3]) + 5)
    name = part.read(["sample_id"]).column(0)[3].as_py()
    assert told(path) == (
        f"1 of {len(part)} rows are not what was written, such as {name!r} (column latent_logvar, row group 0)"
    )


def test_a_flip_in_a_digest_and_one_in_metadata(store: Path) -> None:
    first, second, _ = parts(store)
    digest = Part(str(first)).read(["row_digest"]).column(0)[2].as_py()
    flip(first, first.read_bytes().index(digest))
    assert "1 of" in told(first)
    assert "(column row_digest, row group 0)" in told(first)
    flip(second, second.read_bytes().index(b"sounds/"))
    assert "(column source, row group 0)" in told(second)


def test_a_flip_in_the_footers_statistics_leaves_the_rows_alone(store: Path) -> None:
    path = parts(store)[0]
    flip(path, path.read_bytes().rindex(b"sounds/") + 3)
    assert told(path) == (
        "its bytes are not those that were written: the checksum differs; its rows still equal their digests, so the"
        " damage is beside them"
    )


def test_seeded_flips_and_cuts_anywhere(store: Path) -> None:
    rng = random.Random(4)
    path = parts(store)[0]
    whole = path.read_bytes()
    for _ in range(60):
        flip(path, rng.randrange(len(whole)), 1 << rng.randrange(8))
        assert told(path)
        path.write_bytes(whole)
    for _ in range(20):
        path.write_bytes(whole[: rng.randrange(len(whole))])
        assert "is no whole Parquet file" in told(path)
        assert inspect(path).incomplete
    path.write_bytes(whole)
    assert told(path) == ""


def test_two_flips_that_agree_on_a_checksum_are_caught_by_the_digest(store: Path, moments: Any) -> None:
    """A part that was rewritten with another value and a fresh checksum, but with the old digest."""
    path = parts(store)[0]
    table = pq.read_table(path)
    mean = table.column("latent_mean").to_pylist()
    mean[0] = bytes(len(mean[0]))
    position = table.schema.get_field_index("latent_mean")
    forged = table.set_column(position, table.schema.field(position), pa.array(mean, table.schema.field(position).type))
    from pipeline.store.seal import write_sealed

    with pa.OSFile(str(path), "wb") as file:
        write_sealed(forged, file)
    assert inspect(path).seal == "intact"
    assert "1 of" in told(path)
    assert moments


def test_a_part_under_another_name(store: Path) -> None:
    path = parts(store)[0]
    renamed = path.rename(path.with_name("part-0.parquet"))
    assert told(renamed) == f"its name is not that of the units in it, which is {path.name}"


def test_sums_that_are_not_those_of_the_rows(store: Path) -> None:
    first, second, _ = parts(store)
    footers = [pq.ParquetFile(path).metadata.metadata[b"latentmill.sums"] for path in (first, second)]
    table = pq.read_table(first)
    with pq.ParquetWriter(first, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({b"latentmill.sums": footers[1]})
    assert told(first) == "the sums in its footer, for the store's statistics, are not those of its rows"


def test_parts_of_an_older_version_are_checked_by_their_digests(store: Path) -> None:
    path = parts(store)[0]
    table, footer = pq.read_table(path), pq.ParquetFile(path).metadata.metadata
    with pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({b"latentmill.sums": footer[b"latentmill.sums"]})
    assert inspect(path).seal == "absent"
    assert told(path) == ""
    offsets = Part(str(path)).value_offsets("latent_mean")
    assert offsets is not None
    flip(path, int(offsets[0]))
    assert "1 of" in told(path)


def test_a_row_group_that_does_not_decode_costs_its_rows_alone(tmp_path: Path, moments: Any) -> None:
    shape = (64, 128)
    table = moments.table(range(300), shape=shape)
    receipt = PartWriter(str(tmp_path), moments.schema(shape), durable=False).commit(table)
    path = tmp_path / "data" / receipt.file
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset : chunk.data_page_offset + 8] = bytes(8)
    path.write_bytes(content)
    facts = inspect(path)
    assert facts.incomplete
    assert any("row group 1 " in finding.what and "does not decode" in finding.what for finding in facts.findings)
    assert 0 < len(facts.ids) < 300


def test_tables_without_digests(store: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), store / "old.parquet")
    assert inspect_table(str(store), "old.parquet", "remedy").seal == "absent"
    (store / "bad.parquet").write_bytes(b"PAR1")
    (finding,) = inspect_table(str(store), "bad.parquet", "do this").findings
    assert (finding.file, finding.remedy) == ("bad.parquet", "do this")
    assert "no whole Parquet file" in finding.what


@pytest.mark.parametrize("reason", ["cannot be read: Is a directory"])
def test_a_file_that_cannot_be_read(store: Path, reason: str) -> None:
    (store / "data" / "part-x.parquet").mkdir()
    assert told(store / "data" / "part-x.parquet") == reason
