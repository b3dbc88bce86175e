"""Files that lost their end, or were emptied, are never read as data, and set aside by a run."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.quarantine import Failure, quarantined_ids, write_quarantine
from pipeline.store import LatentStore
from pipeline.store.damaged import damaged_files, set_aside_damaged
from pipeline.store.index import build_index, committed_ids
from pipeline.store.part import DamagedPartError

NUM_CUTS = 60


def part_of(store: Path) -> Path:
    return sorted((store / "data").glob("*.parquet"))[1]


def failed(store: Path) -> Path:
    failure = Failure(
        sample_id="x#0",
        source="x",
        start_seconds=0.0,
        duration_seconds=1.0,
        stage="decode",
        reason="cut short",
        error_type="MediaError",
    )
    return store / "quarantine" / str(write_quarantine(str(store), [failure]))


def cut(content: bytes, at: int) -> bytes:
    return content[:at]


def zero_tail(content: bytes, at: int) -> bytes:
    """As a file system leaves it that had made room but not yet written when the power went."""
    return content[:at] + bytes(len(content) - at)


def without_the_middle(content: bytes, at: int) -> bytes:
    """Begin and end are those of the whole file: its footer points behind where the data now end."""
    return content[:at] + content[-2000:] if at < len(content) - 2000 else content[:at]


@pytest.mark.parametrize("damage", [cut, zero_tail, without_the_middle])
def test_damage_anywhere_is_seen_and_never_read(store: Path, damage: Callable[[bytes, int], bytes]) -> None:
    build_index(str(store))
    part = part_of(store)
    whole = part.read_bytes()
    rng = random.Random(0)
    for at in [0, 1, 4, 8, len(whole) - 8, len(whole) - 4, len(whole) - 1, *rng.sample(range(len(whole)), NUM_CUTS)]:
        part.write_bytes(damage(whole, at))
        (found,) = damaged_files(str(store))
        assert found.path == str(part)
        with pytest.raises(DamagedPartError, match=part.name):
            LatentStore(store)[:]
    part.write_bytes(whole)
    assert damaged_files(str(store)) == []


def test_damaged_files_are_set_aside_and_their_units_missing(store: Path) -> None:
    part, quarantined = part_of(store), failed(store)
    build_index(str(store))
    before = set(committed_ids(str(store)).to_pylist())
    lost = set(LatentStore(store).ids.to_pylist()) - before
    assert not lost
    for path in (part, quarantined):
        path.write_bytes(path.read_bytes()[:-9])
    told = set_aside_damaged(str(store))
    assert [Path(line.split(" was damaged")[0]) for line in told] == [part, quarantined]
    assert all("its units are made anew" in line for line in told)
    for path in (part, quarantined):
        assert not path.exists()
        assert path.with_name(path.name + ".damaged").exists()
    assert set(committed_ids(str(store)).to_pylist()) < before
    assert len(quarantined_ids(str(store))) == 0
    assert set_aside_damaged(str(store)) == []


def test_a_whole_store_and_none_are_fine(store: Path, tmp_path: Path) -> None:
    failed(store)
    assert damaged_files(str(store)) == []
    assert damaged_files(str(tmp_path / "none")) == []


def test_half_written_temporaries_are_no_data(store: Path) -> None:
    part = part_of(store)
    shutil.copy(part, part.with_name(f".{part.name}.0123456789ab.tmp"))
    (store / "data" / f".{part.name}.ba9876543210.tmp").write_bytes(part.read_bytes()[:1000])
    assert damaged_files(str(store)) == []
    assert len(LatentStore(store)) == len(committed_ids(str(store))) == 50


@pytest.mark.parametrize("damage", [cut, zero_tail])
def test_a_damaged_index_is_passed_over(store: Path, damage: Callable[[bytes, int], bytes]) -> None:
    build_index(str(store))
    index = store / "index.parquet"
    whole = index.read_bytes()
    for at in [0, 4, *random.Random(0).sample(range(len(whole)), NUM_CUTS)]:
        index.write_bytes(damage(whole, at))
        assert len(committed_ids(str(store))) == 50
        assert LatentStore(store).by_id("clip-00030")["sample_id"] == "clip-00030"
