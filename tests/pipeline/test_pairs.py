"""Pairs of recordings: their headers, and what becomes of them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipeline.decode import WAVEFORM
from pipeline.failure import read_failures
from pipeline.inputs import Looked
from pipeline.pairs import Pairs
from pipeline.plan import PlanSettings, build_plan
from pipeline.segment_spec import SegmentSpec
from pipeline.sides import side_lengths
from pipeline.source.errors import SourceError
from pipeline.source_spec import SourceSpec
from workers.audio.decode_spec import DecodeSpec
from workers.guarded.limits import GuardLimits

RATE = 16_000
LIMITS = GuardLimits()
DECODE = DecodeSpec(sample_rate=RATE)


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("ref", "out"):
        (tmp_path / name).mkdir()
    return tmp_path / "ref", tmp_path / "out"


def noise(seed: int, length: int) -> Any:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, length).astype(np.float32)


def write(path: Path, samples: Any, rate: int = RATE) -> None:
    soundfile.write(path, samples, rate, subtype="FLOAT")


def pairs_of(sides: tuple[Path, Path], **settings: Any) -> Pairs:
    reference, candidate = (SourceSpec(path=str(side)) for side in sides)
    return Pairs(
        **{
            "reference": reference,
            "candidate": candidate,
            "match_by": "stem",
            "sample_rate": RATE,
            "resamples": False,
            "max_difference_samples": 160,
            **settings,
        }
    )


def looked(pairs: Pairs) -> Looked:
    return pairs.probe(pairs.listing().items, None, lambda _: None, LIMITS)


def units_of(pairs: Pairs, seconds: float = 10.0) -> pa.Table:
    found = looked(pairs)
    settings = PlanSettings(
        segment=SegmentSpec(length_seconds=seconds, tail="keep"),
        decode=DECODE,
        alignment_samples=1,
        min_samples=1,
        seed=0,
        num_recordings=2,
    )
    return build_plan(found.items, found.probes, settings).table().sort_by("sample_id")


def statuses(pairs: Pairs) -> dict[str, str]:
    items = looked(pairs).items
    return dict(zip(items["_item"].to_pylist(), items["_pair_status"].to_pylist(), strict=True))


def test_rates_and_lengths_decide_whether_a_pair_is_compared(sides: tuple[Path, Path]) -> None:
    for name, lengths, rates in (
        ("equal", (1000, 1000), (RATE, RATE)),
        ("a hop", (1000, 840), (RATE, RATE)),
        ("more", (1000, 839), (RATE, RATE)),
        ("longer", (1000, 1161), (RATE, RATE)),
        ("other", (1000, 500), (RATE, 8000)),
        ("both other", (1000, 1000), (8000, 8000)),
    ):
        for side, length, rate in zip(sides, lengths, rates, strict=True):
            write(side / f"{name}.wav", noise(0, length), rate)
    assert statuses(pairs_of(sides)) == {
        "a hop.wav": "ok",
        "both other.wav": "rate_mismatch",
        "equal.wav": "ok",
        "longer.wav": "length_mismatch",
        "more.wav": "length_mismatch",
        "other.wav": "rate_mismatch",
    }
    found = looked(pairs_of(sides))
    assert found.notes == ("of 6 pairs, these cannot be compared: 2 length_mismatch, 2 rate_mismatch",)
    assert found.probes["num_frames"].to_pylist() == [840, 0, 1000, 0, 0, 0]
    resampled = statuses(pairs_of(sides, resamples=True))
    assert {name for name, status in resampled.items() if status == "ok"} == {
        "a hop.wav",
        "both other.wav",
        "equal.wav",
        "other.wav",
    }


def test_a_rate_that_no_pair_has_is_refused(sides: tuple[Path, Path]) -> None:
    write(sides[0] / "a.wav", noise(0, 100), 44_100)
    write(sides[1] / "a.wav", noise(0, 100), 22_050)
    refusal = looked(pairs_of(sides)).refusal
    assert refusal is not None
    assert refusal.startswith("sample_rate is 16000, and no pair has it: references have 44100 Hz, candidates 22050 Hz")
    assert looked(pairs_of(sides, resamples=True)).refusal is None


def test_a_broken_file_names_its_side(sides: tuple[Path, Path]) -> None:
    for side in sides:
        write(side / "a.wav", noise(0, 100))
        write(side / "b.wav", noise(0, 100))
    (sides[1] / "b.wav").write_bytes(b"no media")
    errors = looked(pairs_of(sides)).probes["error"].to_pylist()
    assert errors[0] is None
    assert errors[1].endswith("(candidate)")


def test_a_probe_changes_with_either_file(sides: tuple[Path, Path]) -> None:
    for side in sides:
        write(side / "a.wav", noise(0, 1000))
    seen = [looked(pairs_of(sides)).probes.to_pylist()[0]]
    for side in sides:
        write(side / "a.wav", noise(1, 1000))
        seen.append(looked(pairs_of(sides)).probes.to_pylist()[0])
    assert len({row["fingerprint"] for row in seen}) == 3
    assert len({row["modified_ns"] for row in seen}) == 3
    assert len({row["size_bytes"] for row in seen}) == 1


def test_which_side_a_file_is_on_matters(sides: tuple[Path, Path]) -> None:
    for seed, side in enumerate(sides):
        write(side / "a.wav", noise(seed, 1000))
    forth, back = (looked(pairs_of(both)).probes.to_pylist()[0] for both in (sides, sides[::-1]))
    assert forth["fingerprint"] != back["fingerprint"]
    assert forth["modified_ns"] != back["modified_ns"]


def test_headers_are_read_once(sides: tuple[Path, Path]) -> None:
    for side in sides:
        for name in ("a.wav", "b.wav"):
            write(side / name, noise(0, 1000))
    pairs = pairs_of(sides)
    first = looked(pairs)
    known = pa.concat_tables([first.probes, first.headers])
    write(sides[1] / "b.wav", noise(1, 1000))
    for side in sides:  # what is not read again need not be readable
        stat = (side / "a.wav").stat()
        (side / "a.wav").write_bytes(bytes(stat.st_size))
        os.utime(side / "a.wav", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = pairs.probe(pairs.listing().items, known, lambda _: None, LIMITS)
    assert again.probes.slice(0, 1) == first.probes.slice(0, 1)
    assert again.probes["fingerprint"][1] != first.probes["fingerprint"][1]
    assert again.probes["error"].to_pylist() == [None, None]


def test_both_sides_are_decoded_bit_for_bit_and_cut_alike(sides: tuple[Path, Path]) -> None:
    clips = [noise(1, 2500), noise(2, 2400)]
    clips[1][1700] = np.nan
    for side, clip in zip(sides, clips, strict=True):
        write(side / "a.wav", clip)
    pairs = pairs_of(sides)
    units = units_of(pairs, seconds=0.1)
    assert units["_num_samples"].to_pylist() == [1600, 800]
    for row in range(2):
        block = pairs.decoder(DECODE, LIMITS)(units.slice(row, 1))
        [waveform] = block[WAVEFORM].to_pylist()
        start, length = 1600 * row, units["_num_samples"][row].as_py()
        decoded = np.frombuffer(waveform, np.float32).reshape(2, -1)
        for side, clip in enumerate(clips):
            np.testing.assert_array_equal(decoded[side, :length], clip[start : start + length])
            assert not decoded[side, length:].any()
        assert read_failures(block) == [None]


def test_one_side_that_cannot_be_decoded_costs_its_pair(sides: tuple[Path, Path]) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        for side in sides:
            write(side / name, noise(0, 1000))
    write(sides[0] / "alone.wav", noise(0, 1000))
    pairs = pairs_of(sides)
    units = units_of(pairs)
    (sides[1] / "b.wav").unlink()
    block = pairs.decoder(DECODE, LIMITS)(units)
    failures = dict(zip(block["sample_id"].to_pylist(), read_failures(block), strict=True))
    assert {name for name, failure in failures.items() if failure} == {"b.wav#0"}
    assert failures["b.wav#0"].reason.endswith("(candidate)")  # type: ignore[union-attr]
    waveforms = dict(zip(block["sample_id"].to_pylist(), block[WAVEFORM].to_pylist(), strict=True))
    assert any(waveforms["a.wav#0"])
    assert not any(waveforms["b.wav#0"])
    assert not any(waveforms["alone.wav#0"])


def test_clips_without_a_counterpart_count_where_that_is_asked_for(sides: tuple[Path, Path]) -> None:
    clips = {
        "pair": (noise(1, 1000), noise(2, 900)),
        "longer": (noise(3, 2000), noise(4, 700)),
        "reference": (noise(5, 500), None),
        "candidate": (None, noise(6, 600)),
    }
    for name, both in clips.items():
        for side, clip in zip(sides, both, strict=True):
            if clip is not None:
                write(side / f"{name}.wav", clip)
    write(sides[0] / "rate.wav", noise(7, 400))
    write(sides[1] / "rate.wav", noise(7, 400), 8000)
    pairs = pairs_of(sides, alone=True)
    units = units_of(pairs, seconds=0.1)
    found = {row["sample_id"]: row for row in units.to_pylist()}
    lengths = dict(zip(units["sample_id"].to_pylist(), side_lengths(units).tolist(), strict=True))
    assert lengths == {
        "pair.wav#0": [900, 900],
        "longer.wav#0": [1600, 700],
        "longer.wav#1": [400, 0],
        "reference.wav#0": [500, -1],
        "candidate.wav#0": [-1, 600],
        "rate.wav#0": [400, -2],
    }
    assert {name: row["_pair_status"] for name, row in found.items()} == {
        "pair.wav#0": "ok",
        "longer.wav#0": "length_mismatch",
        "longer.wav#1": "length_mismatch",
        "reference.wav#0": "no_candidate",
        "candidate.wav#0": "no_reference",
        "rate.wav#0": "rate_mismatch",
    }
    for row, name in enumerate(found):
        block = pairs.decoder(DECODE, LIMITS)(units.slice(row, 1))
        assert read_failures(block) == [None]
        decoded = np.frombuffer(block[WAVEFORM][0].as_py(), np.float32).reshape(2, -1)
        start, stem = found[name]["_start_sample"], name.partition(".")[0]
        for side, length in enumerate(lengths[name]):
            clip = clips.get(stem, (noise(7, 400), None))[side]
            if length > 0:
                np.testing.assert_array_equal(decoded[side, :length], clip[start : start + length])
            assert not decoded[side, max(length, 0) :].any()


def test_a_clip_alone_is_noticed_when_it_changes_and_refused_when_it_is_broken(sides: tuple[Path, Path]) -> None:
    for side in sides:
        write(side / "a.wav", noise(0, 1000))
    write(sides[1] / "alone.wav", noise(1, 1000))
    pairs = pairs_of(sides, alone=True)
    before = looked(pairs).probes.to_pylist()[1]
    write(sides[1] / "alone.wav", noise(2, 1000))
    now = looked(pairs).probes.to_pylist()[1]
    assert now["num_frames"] == 1000
    assert now["fingerprint"] != before["fingerprint"]
    (sides[1] / "alone.wav").write_bytes(b"no media")
    assert looked(pairs).probes.to_pylist()[1]["error"].endswith("(candidate)")


def test_sets_need_not_share_a_name(sides: tuple[Path, Path]) -> None:
    write(sides[0] / "a.wav", noise(0, 1000))
    write(sides[1] / "b.wav", noise(0, 1000))
    with pytest.raises(SourceError, match=r"candidate.path: none of its 1 items has the name"):
        pairs_of(sides).listing()
    pairs = pairs_of(sides, alone=True, may_be_unpaired=True)
    assert units_of(pairs)["_num_samples"].to_pylist() == [1000, 1000]
