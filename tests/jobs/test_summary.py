"""How a run ended, in words that say what to type next."""

from pathlib import Path

import pyarrow as pa
import pytest

from jobs.failures import group_failures
from jobs.summary import Summary, describe_summary
from pipeline.quarantine import Failure, failures_table
from pipeline.store.manifest import Manifest, Totals
from tests.jobs.failed import failure

FAILED = [
    failure("a.wav", "decode", "truncated: expected 32000 samples, got 12"),
    failure("b.wav", "decode", "truncated: expected 16000 samples, got 7"),
    failure("it's.wav", "probe", "empty file"),
]


def summary(failures: list[Failure], *, budget_exceeded: bool = False) -> Summary:
    manifest = Manifest.start(kind="mel", identity="0" * 64, schema=pa.schema([]), environment={})
    totals = Totals(num_units=100 - len(failures), num_quarantined=len(failures))
    return Summary(
        store="/data/my store",
        manifest=manifest.revise(state="complete", totals=totals, content_digest="f" * 64),
        num_new=10,
        num_kept=87,
        new_audio_seconds=20.0,
        seconds=5.0,
        num_units=100,
        example="good.wav#0",
        notes=(),
        failures=group_failures(failures_table(failures)),
        budget_exceeded=budget_exceeded,
    )


def test_failures_are_told_by_kind_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = describe_summary(summary(FAILED, budget_exceeded=True))
    assert "failed    3 of 100 units (3.0%); the failure budget is exceeded" in text
    assert "2 × decode in 2 file(s): truncated: expected … samples, got … (such as a.wav#0)" in text
    assert "1 × probe: empty file (such as it's.wav#0)" in text
    assert "replace the recording" in text
    assert "latentmill show '/data/my store' 'a.wav#0'" in text
    assert "latentmill run '/data/my store/job.yaml' --retry-quarantined" in text


def test_where_nothing_failed_nothing_is_said_of_failures() -> None:
    text = describe_summary(summary([]))
    assert "failed" not in text
    assert "--retry-quarantined" not in text


def test_programs_read_the_groups() -> None:
    failures = summary(FAILED).as_json()["failures"]
    assert [(group["stage"], group["num_units"], group["num_sources"]) for group in failures] == [
        ("decode", 2, 2),
        ("probe", 1, 1),
    ]
    assert failures[0]["examples"] == ["a.wav#0", "b.wav#0"]
