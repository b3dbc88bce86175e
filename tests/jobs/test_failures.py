"""Failures in groups, with what to do about each."""

import pytest

from jobs.failures import SHOWN_GROUPS, describe_failures, group_failures
from pipeline.quarantine import failures_table
from tests.jobs.failed import failure


def test_reasons_that_differ_in_names_and_numbers_alone_are_one_group() -> None:
    table = failures_table(
        [
            failure("a.wav", "decode", "truncated: expected 32000 samples, got 12"),
            failure("b.wav", "decode", "truncated: expected 8000 samples, got 3.5e+3"),
            failure("c.wav", "probe", "No such file or directory: /data/x/c.wav"),
            failure("d.wav", "probe", "No such file or directory: /data/y/d.wav"),
            failure("e.wav", "probe", "No such file or directory: s3://bucket/e.wav"),
            failure("f.wav", "decode", "non-finite values in mel as float16"),
        ]
    )
    groups = group_failures(table)
    assert [(group.stage, group.num_units, group.num_sources) for group in groups] == [
        ("probe", 3, 3),
        ("decode", 2, 2),
        ("decode", 1, 1),
    ]
    assert groups[0].reason == "No such file or directory: …"
    assert groups[1].reason == "truncated: expected … samples, got …"
    assert groups[2].reason == "non-finite values in mel as float16"
    assert groups[0].examples == ("c.wav#0", "d.wav#0", "e.wav#0")
    assert group_failures(table.slice(0, 0)) == ()


def test_a_group_of_equal_reasons_keeps_its_words() -> None:
    (group,) = group_failures(failures_table([failure("a", "decode", "at 12 s"), failure("b", "decode", "at 12 s")]))
    assert group.reason == "at 12 s"
    assert group.as_json()["examples"] == ["a#0", "b#0"]


@pytest.mark.parametrize(
    ("stage", "reason", "remedy"),
    [
        ("probe", "empty", "bring the file back"),
        ("decode", "cut", "replace the recording"),
        ("crash", "died", "takes its process with it"),
        ("timeout", "600 s", "more time in `limits`"),
        ("model", "out of memory even with one row at a time", "larger device"),
        ("model", "non-finite values", "listen to the recording"),
        ("store", "odd", "see the log"),
    ],
)
def test_every_stage_has_a_remedy(stage: str, reason: str, remedy: str) -> None:
    (group,) = group_failures(failures_table([failure("a", stage, reason)]))
    assert remedy in group.remedy


def test_what_is_told_of_many_fits_a_screen() -> None:
    table = failures_table([failure(f"{name}.wav", "decode", f"odd in way {name}") for name in "abcdefghijklmnop"])
    lines = describe_failures(group_failures(table))
    assert len(lines) == 2 * SHOWN_GROUPS + 1
    assert lines[0] == "    1 × decode: odd in way a (such as a.wav#0)"
    assert lines[-1] == "    … and 6 unit(s) for 6 other reasons (status --json lists all)"
