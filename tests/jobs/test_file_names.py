"""Names of exported files: what patterns may say, and that no name leads out of its folder."""

from datetime import datetime
from typing import Any

import pytest

from jobs.file_names import NamePattern, file_name
from jobs.spec_error import SpecError

ROW: dict[str, Any] = {
    "sample_id": "rain/tin#3",
    "prompt": "rain on a tin roof",
    "seed": 255,
    "seconds": 1.26,
    "made": datetime(2024, 5, 6),
    "category": None,
    "a.b": "dotted",
}


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{sample_id}", "rain/tin#3"),
        ("{column}/{prompt}-{variation}", "audio/rain on a tin roof-3"),
        ("{variation:03}_{seed:x}_{seconds:.1f}_{prompt:.4}", "003_ff_1.3_rain"),
        ("{made:%Y-%m/%d}", "2024-05_06"),
        ("{category}/x", "_/x"),
        ("{{{seed}}}", "{255}"),
        ("{a.b}", "dotted"),
        (".{prompt}", "_rain on a tin roof"),
    ],
)
def test_patterns(pattern: str, name: str) -> None:
    assert NamePattern(pattern, list(ROW)).name(ROW, "audio") == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a/b\\c", "_/a_b_c"),
        ("..", "_/_."),
        ("../up", "_/_._up"),
        (".hidden", "_/_hidden"),
        ("a\0b\nc\x7f\u2028", "_/a_b_c__"),
        ("", "_/_"),
        ("ab\N{ZERO WIDTH NON-JOINER}c?*", "_/ab\N{ZERO WIDTH NON-JOINER}c?*"),
    ],
)
def test_values_make_no_folders(value: str, name: str) -> None:
    assert NamePattern("{category}/{prompt}", list(ROW)).name(ROW | {"prompt": value}, "audio") == name


def test_the_number_of_a_unit_is_what_stands_behind_its_last_mark() -> None:
    numbers = [NamePattern("{variation}", []).name({"sample_id": name}, "x") for name in ("a#1#12", "a", "a#b")]
    assert numbers == ["12", "_", "b"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{prompt.__class__}", r"must be one of variation, column, sample_id, prompt.*got 'prompt.__class__'"),
        ("{prompt[0]}", r"got 'prompt\[0\]'; did you mean prompt"),
        ("{}", "must be one of .* got ''"),
        ("{0}", "must be one of .* got '0'"),
        ("{prompt!r}", "expected fields like {column} or {column:format}"),
        ("{prompt:{seed}}", "expected fields like"),
        ("{prompt", "expected '}' before end of string; a brace that is meant as such is doubled"),
        ("prompt}", "Single '}'"),
        ("../{sample_id}", "files lie below --to"),
        ("/{sample_id}", "files lie below --to"),
        ("", "files lie below --to"),
        ("{sample_id}.flac", "leave out the extension"),
    ],
)
def test_patterns_that_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        NamePattern(pattern, list(ROW))


def test_formats_that_do_not_suit() -> None:
    with pytest.raises(SpecError, match=r"{prompt:.1f} does not suit the prompt of unit 'rain/tin#3', 'rain on.*'f'"):
        NamePattern("{prompt:.1f}", list(ROW)).name(ROW, "audio")


def test_long_names_are_cut_and_stay_apart() -> None:
    first, second = file_name("é" * 200 + "#0"), file_name("é" * 200 + "#1")
    assert first != second
    assert max(len(first.encode()), len(second.encode())) <= 220


@pytest.mark.parametrize(
    ("sample_id", "name"),
    [
        ("a/b.wav#0", "a/b.wav#0"),
        ("../../etc/passwd#0", "_./_./etc/passwd#0"),
        ("/abs/./x#1", "abs/x#1"),
        ("s3://bucket/x#0", "s3:/bucket/x#0"),
        (".hidden#0", "_hidden#0"),
        ("a\\..\\b", "a/_./b"),
        ("..", "_."),
        ("/", "_"),
    ],
)
def test_names_lead_nowhere_else(sample_id: str, name: str) -> None:
    assert file_name(sample_id) == name
