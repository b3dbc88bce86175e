"""Cutting items into units, ordering them, forming blocks."""

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.plan import PlanSettings, build_plan, form_blocks
from pipeline.probe import PROBE_SCHEMA
from pipeline.seeds import unit_seed
from pipeline.segment_spec import SegmentSpec
from workers.audio.decode_spec import DecodeSpec

RATE = 1000


def settings(*, alignment: int = 1, seed: int = 0, channels: str = "mono", **segment: Any) -> PlanSettings:
    return PlanSettings(
        segment=SegmentSpec(**{"length_seconds": 1.0, **segment}),
        decode=DecodeSpec(sample_rate=RATE, channels=channels),
        alignment_samples=alignment,
        min_samples=1,
        seed=seed,
    )


def plan_of(lengths: dict[str, int], how: PlanSettings, *, rate: int = RATE, channels: int = 1) -> pa.Table:
    """A plan of items with these numbers of frames at `rate`."""
    items = pa.table({"_item": list(lengths), "_path": [f"/x/{name}" for name in lengths], "n": list(lengths.values())})
    probes = [
        {"item": name, "sample_rate": rate, "channels": channels, "num_frames": frames}
        for name, frames in lengths.items()
    ]
    return build_plan(items, pa.Table.from_pylist(probes, PROBE_SCHEMA), how)


def spans(plan: pa.Table) -> list[tuple[int, int]]:
    """(start, true length) of each unit of a one-item plan, in samples."""
    return list(zip(plan["_start_sample"].to_pylist(), plan["_num_samples"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("frames", "segment", "expected"),
    [
        (1, {}, [(0, 1)]),
        (1000, {}, [(0, 1000)]),
        (1001, {}, [(0, 1000), (1000, 1)]),
        (2500, {}, [(0, 1000), (1000, 1000), (2000, 500)]),
        (2500, {"tail": "keep"}, [(0, 1000), (1000, 1000), (2000, 500)]),
        (2500, {"tail": "drop"}, [(0, 1000), (1000, 1000)]),
        (700, {"tail": "drop"}, [(0, 700)]),
        (2500, {"max_segments": 2}, [(0, 1000), (1000, 1000)]),
        (1000, {"hop_seconds": 0.5}, [(0, 1000)]),
        (1600, {"hop_seconds": 0.5}, [(0, 1000), (500, 1000), (1000, 600)]),
        (1500, {"hop_seconds": 0.5, "tail": "drop"}, [(0, 1000), (500, 1000)]),
        (4100, {"hop_seconds": 2.0}, [(0, 1000), (2000, 1000), (4000, 100)]),
        (2900, {"hop_seconds": 2.0}, [(0, 1000), (2000, 900)]),
        (3900, {"hop_seconds": 2.0}, [(0, 1000), (2000, 1000)]),
    ],
)
def test_spans(frames: int, segment: dict[str, Any], expected: list[tuple[int, int]]) -> None:
    assert spans(plan_of({"a": frames}, settings(**segment))) == expected


@pytest.mark.parametrize("tail", ["pad", "keep"])
@pytest.mark.parametrize("hop", [None, 0.3, 0.7])
def test_nothing_of_a_file_is_left_out(tail: str, hop: float | None) -> None:
    rng = random.Random(1)
    for _ in range(50):
        frames = rng.randint(1, 5000)
        covered = np.zeros(frames, bool)
        for start, length in spans(plan_of({"a": frames}, settings(tail=tail, hop_seconds=hop))):
            assert length > 0
            covered[start : start + length] = True
        assert covered.all()


def test_lengths_are_those_after_resampling_rounded_up() -> None:
    assert spans(plan_of({"a": 44_101}, settings(length_seconds=3), rate=44_100)) == [(0, 1001)]


def test_padded_lengths_lie_on_the_models_grid() -> None:
    assert set(plan_of({"a": 2500}, settings(alignment=64))["_bucket_samples"].to_pylist()) == {1024}


def test_kept_tails_fall_into_a_few_buckets() -> None:
    lengths = {f"{n:04d}": n for n in range(1, 1001, 7)}
    plan = plan_of(lengths, settings(alignment=16, tail="keep", bucket_seconds=0.25))
    buckets = np.array(plan["_bucket_samples"].to_pylist())
    assert set(buckets.tolist()) == {256, 512, 768, 1008}
    assert (buckets >= np.array(plan["_num_samples"].to_pylist())).all()


def test_rows_carry_ids_seeds_times_and_metadata() -> None:
    plan = plan_of({"a.wav": 1500}, settings(seed=9))
    assert plan["sample_id"].to_pylist() == ["a.wav#0", "a.wav#1"]
    assert plan["seed"].to_pylist() == [unit_seed(9, "a.wav#0", "unit"), unit_seed(9, "a.wav#1", "unit")]
    assert plan["start_seconds"].to_pylist() == [0.0, 1.0]
    assert plan["duration_seconds"].to_pylist() == [1.0, 0.5]
    assert plan["n"].to_pylist() == [1500, 1500]


def test_order_is_a_seeded_shuffle_of_items_with_their_segments_together() -> None:
    lengths = {f"{n:03d}": 2500 for n in range(100)}
    sources = plan_of(lengths, settings(seed=1))["source"].to_pylist()
    assert sources[::3] == sources[1::3] == sources[2::3]
    assert sorted(sources[::3]) == list(lengths) != sources[::3]
    assert plan_of(lengths, settings(seed=2))["source"].to_pylist() != sources
    assert plan_of(dict(reversed(lengths.items())), settings(seed=1))["source"].to_pylist() == sources


def test_the_channel_policy_decides_the_bucket() -> None:
    for policy, expected in (("mono", 1), ("stereo", 2), ("keep", 6)):
        assert plan_of({"a": 9}, settings(channels=policy), channels=6)["_bucket_channels"].to_pylist() == [expected]


def test_an_item_without_a_header_is_one_unit() -> None:
    items = pa.table({"_item": ["a"], "_path": ["/x/a"]})
    probes = pa.Table.from_pylist([{"item": "a", "error": "not audio"}], PROBE_SCHEMA)
    [unit] = build_plan(items, probes, settings()).to_pylist()
    assert unit["sample_id"] == "a#0"
    assert unit["_probe_error"] == "not audio"
    assert unit["_num_samples"] == 0


def test_blocks_hold_each_unit_once_and_one_shape_each() -> None:
    plan = plan_of({f"{n:03d}": 37 * n + 1 for n in range(60)}, settings(tail="keep"))
    for size in (1, 7, 64, 10_000):
        blocks = form_blocks(plan, size)
        assert all(0 < block.num_rows <= size for block in blocks)
        assert all(len(set(block["_bucket_samples"].to_pylist())) == 1 for block in blocks)
        ids = [name for block in blocks for name in block["sample_id"].to_pylist()]
        assert sorted(ids) == sorted(plan["sample_id"].to_pylist())
        firsts = [plan["sample_id"].to_pylist().index(block["sample_id"][0].as_py()) for block in blocks]
        assert firsts == sorted(firsts)


def test_no_units_no_blocks() -> None:
    assert form_blocks(plan_of({"a": 5}, settings()).slice(0, 0), 8) == []


def test_seeds_differ_by_job_name_and_stream() -> None:
    seeds = {unit_seed(job, name, stream) for job in (0, 1) for name in "ab" for stream in ("unit", "order")}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert unit_seed(0, "drums/kick.wav#0", "unit") == 13128729496671823692


def test_segment_settings_that_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="set tail: keep"):
        SegmentSpec(bucket_seconds=1.0)
