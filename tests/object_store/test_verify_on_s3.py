"""Stores in a bucket are verified, replayed, compared, shown and mended like those in a folder."""

from pathlib import Path
from typing import Any

from jobs.diff import diff_stores
from jobs.inspect_store import describe_status, store_status, unit_facts
from jobs.replay import replay_unit
from jobs.verify import verify_store
from jobs.verify_report import describe_verification
from tests.conftest import write_clips
from tests.jobs.stores import make_mels


def test_a_store_in_a_bucket(bucket: Any, tmp_path: Path) -> None:
    source, store = write_clips(tmp_path / "source", 3), f"{bucket.uri}/store"
    make_mels(source, store)
    found = verify_store(store, fraction=0.5)
    assert found.sound, describe_verification(found)
    assert not found.notes
    name = "high/clip_000.wav#0"
    assert replay_unit(store, name).equal
    assert unit_facts(store, name)["mel"]["shape"] == [64, 100]
    assert "complete" in describe_status(store_status(store))
    make_mels(source, tmp_path / "local")
    assert diff_stores(store, str(tmp_path / "local")).equal

    key = bucket.keys("store/data")[0]
    content = bytearray(bucket.read(key))
    content[len(content) // 2] ^= 8
    bucket.write(key, bytes(content))
    bucket.write("store/data/part-cut.parquet.damaged", b"")
    broken = verify_store(store)
    assert [finding.file for finding in broken.findings] == [key.removeprefix("store/")]
    assert "set aside" in broken.notes[0]
    assert not verify_store(f"{bucket.uri}/store").sound
