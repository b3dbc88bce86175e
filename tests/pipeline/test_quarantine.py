"""The table of what failed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.quarantine import (
    QUARANTINE_SCHEMA,
    Failure,
    failures_table,
    quarantined_ids,
    read_quarantine,
    release,
    write_quarantine,
)

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def failure(name: str, attempts: int = 1) -> Failure:
    return Failure(
        sample_id=name,
        source=f"{name}.wav",
        start_seconds=0.0,
        duration_seconds=2.0,
        stage="decode",
        reason="truncated: expected 32000 samples, got 12",
        error_type="MediaError",
        attempts=attempts,
    )


def test_round_trip_is_sorted(tmp_path: Path) -> None:
    write_quarantine(str(tmp_path), [failure("b"), failure("a")])
    write_quarantine(str(tmp_path), [failure("c")])
    table = read_quarantine(str(tmp_path))
    assert table.schema == QUARANTINE_SCHEMA
    assert table.column("sample_id").to_pylist() == ["a", "b", "c"]
    assert table.column("stage").to_pylist() == ["decode"] * 3
    assert quarantined_ids(str(tmp_path)).to_pylist() == ["a", "b", "c"]


def test_latest_failure_of_a_unit_counts(tmp_path: Path) -> None:
    tuesday = MONDAY + timedelta(days=1)
    write_quarantine(str(tmp_path), failures_table([replace(failure("a"), stage="model", attempts=2)], seen=tuesday))
    write_quarantine(str(tmp_path), failures_table([failure("a"), failure("b")], seen=MONDAY))
    first, _ = read_quarantine(str(tmp_path)).to_pylist()
    assert (first["stage"], first["attempts"]) == ("model", 2)
    assert (first["first_seen"], first["last_seen"]) == (MONDAY, tuesday)


def test_attempts_are_those_of_the_latest_row_and_no_sum(tmp_path: Path) -> None:
    for names, attempts, day in (("a", 3, 0), ("ab", 2, 1)):
        seen = MONDAY + timedelta(days=day)
        write_quarantine(str(tmp_path), failures_table([failure(name, attempts) for name in names], seen=seen))
    assert read_quarantine(str(tmp_path)).column("attempts").to_pylist() == [2, 2]
    release(str(tmp_path), ["b"])  # writes the merged rows anew
    (row,) = read_quarantine(str(tmp_path)).to_pylist()
    assert (row["attempts"], row["first_seen"], row["last_seen"]) == (2, MONDAY, MONDAY + timedelta(days=1))


def test_same_units_replace_their_file(tmp_path: Path) -> None:
    first = write_quarantine(str(tmp_path), [failure("a"), failure("b")])
    assert write_quarantine(str(tmp_path), [failure("b", 2), failure("a", 2)]) == first
    assert read_quarantine(str(tmp_path)).column("attempts").to_pylist() == [2, 2]


def test_nothing_failed(tmp_path: Path) -> None:
    assert write_quarantine(str(tmp_path), []) is None
    assert read_quarantine(str(tmp_path)).equals(QUARANTINE_SCHEMA.empty_table())
    assert len(quarantined_ids(str(tmp_path))) == 0
    assert not (tmp_path / "quarantine").exists()


def test_release(tmp_path: Path) -> None:
    for names in ("ab", "bc", "d"):
        write_quarantine(str(tmp_path), [failure(name) for name in names])
    assert release(str(tmp_path), ["a", "c", "unknown"]) == 2
    assert quarantined_ids(str(tmp_path)).to_pylist() == ["b", "d"]
    assert release(str(tmp_path), ["b", "d"]) == 2
    assert len(read_quarantine(str(tmp_path))) == 0


def test_other_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="quarantine table has the schema sample_id: string"):
        write_quarantine(str(tmp_path), pa.table({"sample_id": ["a"]}))
