"""Recordings in shards and tables decode to the very samples that they do as files of their own."""

import hashlib
import tarfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.blocks import form_blocks
from pipeline.decode import WAVEFORM, decode_block
from pipeline.failure import FAILURE
from pipeline.plan import PlanSettings, build_plan
from pipeline.probe import probe_items
from pipeline.segment_spec import SegmentSpec
from pipeline.source import list_source
from pipeline.source_spec import SourceSpec
from workers.audio.decode_spec import DecodeSpec

DECODE = DecodeSpec(sample_rate=16_000)
SETTINGS = PlanSettings(
    segment=SegmentSpec(length_seconds=1.0), decode=DECODE, alignment_samples=1, min_samples=1, seed=3
)


def files_of(clips: Path) -> list[Path]:
    return sorted(path for path in clips.rglob("*") if path.suffix in (".wav", ".flac", ".ogg"))


def as_shards(clips: Path, folder: Path) -> Path:
    """The recordings in two shards, each under its path below `clips`."""
    folder.mkdir()
    for number in range(2):
        with tarfile.open(folder / f"s-{number}.tar", "w") as archive:
            for file in files_of(clips)[number::2]:
                archive.add(file, file.relative_to(clips))
    return folder


def as_table(clips: Path, file: Path) -> Path:
    """The recordings in a table, five to a row group."""
    names = [str(path.relative_to(clips)) for path in files_of(clips)]
    audio = [{"bytes": path.read_bytes(), "path": path.name} for path in files_of(clips)]
    pq.write_table(pa.table({"name": names, "audio": audio}), file, row_group_size=5)
    return file


def digests(path: Path, **settings: Any) -> dict[str, str]:
    """A digest of the waveform of each unit, by its recording's name and number."""
    items = list_source(SourceSpec(path=str(path), **settings)).items
    probes = probe_items(items, None, lambda _: None)
    units = build_plan(items, probes, SETTINGS).table()
    found = {}
    for block in form_blocks(units, 5):
        decoded = decode_block(block, DECODE)
        assert decoded[FAILURE].null_count == decoded.num_rows
        for name, waveform in zip(decoded["sample_id"].to_pylist(), decoded[WAVEFORM].to_pylist(), strict=True):
            found[name] = hashlib.sha256(waveform).hexdigest()
    return found


@pytest.fixture(scope="module")
def expected(clips: Path) -> dict[str, str]:
    """Of the files themselves."""
    found = digests(clips)
    assert len(found) > 15
    assert len(set(found.values())) == len(found)
    return found


def test_members_of_shards(clips: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    found = digests(as_shards(clips, tmp_path / "shards"))
    assert {name.partition(".tar/")[2]: value for name, value in found.items()} == expected


def test_rows_of_tables(clips: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    assert digests(as_table(clips, tmp_path / "t.parquet"), id_column="name") == expected


def test_units_of_a_row_group_stay_together(clips: Path, tmp_path: Path) -> None:
    items = list_source(SourceSpec(path=str(as_table(clips, tmp_path / "t.parquet")))).items
    assert items["_group"].null_count == 0
    units = build_plan(items, probe_items(items, None, lambda _: None), SETTINGS).table()
    groups = [member.split(":")[2] for member in units["_member"].to_pylist()]
    changes = sum(first != second for first, second in pairwise(groups))
    assert changes == len(set(groups)) - 1 == 2
    rows = [int(member.split(":")[3]) for member in dict.fromkeys(units["_member"].to_pylist())]
    assert rows != sorted(rows)


def test_what_is_wrong_with_a_shard_is_what_its_units_fail_with(clips: Path, shard: Callable[..., Path]) -> None:
    path = shard({"../up.wav": b"x", "good.wav": files_of(clips)[0].read_bytes(), "cut.wav": b"x" * 9000})
    with tarfile.open(path) as archive:
        end = archive.getmember("cut.wav").offset_data + 5000
    path.write_bytes(path.read_bytes()[:end])
    items = list_source(SourceSpec(path=str(path))).items
    units = build_plan(items, probe_items(items, None, lambda _: None), SETTINGS).table()
    decoded = pa.concat_tables([decode_block(block, DECODE) for block in form_blocks(units, 8)])
    failures = dict(zip(decoded["source"].to_pylist(), decoded[FAILURE].to_pylist(), strict=True))
    assert failures.pop("shard.tar/good.wav") is None
    assert "leads out of the archive" in str(failures.pop("shard.tar@512"))
    reason = str(failures.pop("shard.tar"))
    assert "cut short: member 'cut.wav' needs bytes" in reason
    assert "listed are the 1 samples before 'cut'" in reason
    assert failures == {}
