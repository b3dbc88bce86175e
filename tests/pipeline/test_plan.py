"""Cutting items into units and ordering them."""

import hashlib
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.plan import PlanSettings, build_plan
from pipeline.probe import PROBE_SCHEMA
from pipeline.seeds import unit_seed
from pipeline.segment_spec import SegmentSpec
from pipeline.source.items import whole_files
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
    items = whole_files(lengths, [f"/x/{name}" for name in lengths]).append_column("n", [list(lengths.values())])
    probes = [
        {"item": name, "sample_rate": rate, "channels": channels, "num_frames": frames}
        for name, frames in lengths.items()
    ]
    return build_plan(items, pa.Table.from_pylist(probes, PROBE_SCHEMA), how).table()


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


def test_a_plan_is_what_it_always_was() -> None:
    """Ids, order, cuts, seeds and buckets of a mixed plan: to change any of them is to change every store."""
    lengths = {f"dir{n % 7}/clip é {n:03d}.wav": 137 * n % 4001 + 1 for n in range(200)}
    how = settings(seed=11, tail="keep", hop_seconds=0.7, alignment=16)
    plan = plan_of(lengths, how, rate=1103).drop_columns(["_member"])
    rows = [[str(value) for value in row.values()] for row in plan.to_pylist()]
    assert rows[0][:4] == ["dir5/clip é 096.wav#0", "dir5/clip é 096.wav", "/x/dir5/clip é 096.wav", "0"]
    assert plan["seed"].to_pylist()[:2] == [3870082211271819341, 9056010851702405195]
    assert hashlib.blake2b(repr(rows).encode(), digest_size=16).hexdigest() == "9d3d96430875fe2e6489a07e550a4fc8"


def test_durations_of_a_manifest_give_the_plan_that_headers_give() -> None:
    frames = {f"{n:03d}": 317 * n + 1 for n in range(300)}
    how = settings(tail="keep", hop_seconds=0.7, alignment=16)
    items = whole_files(list(frames), list(frames)).append_column(
        "_duration_seconds", [[count / 44_100 for count in frames.values()]]
    )
    expected = plan_of(frames, how, rate=44_100).drop_columns(["_path", "n"])
    assert build_plan(items, None, how).table().drop_columns(["_path"]).equals(expected)


def test_an_error_that_the_listing_knows_is_that_of_its_unit() -> None:
    items = whole_files(["a", "b"], ["/x/a", "/x/b"])
    items = items.append_column("_error", [["no audio in it", None]]).append_column("_duration_seconds", [[None, 2.0]])
    plan = build_plan(items, None, settings())
    errors = dict(zip(plan["sample_id"].to_pylist(), plan["_probe_error"].to_pylist(), strict=True))
    assert errors == {"a#0": "no audio in it", "b#0": None, "b#1": None}
    assert plan.readable.tolist() == [error is None for error in plan["_probe_error"].to_pylist()]


def test_channels_cannot_be_kept_without_headers() -> None:
    items = whole_files(["a"], ["/x/a"]).append_column("_duration_seconds", [[2.0]])
    with pytest.raises(ValueError, match=r"audio.channels is keep.*source.duration_column"):
        build_plan(items, None, settings(channels="keep"))


@pytest.mark.parametrize("rows_per_piece", [1, 3, 7])
def test_a_listing_may_come_in_pieces(rows_per_piece: int) -> None:
    names = [f"{n:02d}" for n in range(20)]
    items = whole_files(names, [f"/x/{name}" for name in names]).append_column("_duration_seconds", [[2.5] * 20])
    items = items.append_column("text", [[None if n % 3 else f"text {n}" for n in range(20)]])
    pieces = pa.Table.from_batches(items.to_batches(max_chunksize=rows_per_piece))
    assert build_plan(pieces, None, settings()).table().equals(build_plan(items, None, settings()).table())


def test_rows_are_put_together_piece_by_piece_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = {f"{n:03d}": 700 * n for n in range(20)}
    expected = plan_of(lengths, settings())
    for module in ("pipeline.plan", "pipeline.planned"):
        monkeypatch.setattr(f"{module}.CHUNK", 7)
    assert plan_of(lengths, settings()).equals(expected)


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
    items = whole_files(["a"], ["/x/a"])
    probes = pa.Table.from_pylist([{"item": "a", "error": "not audio"}], PROBE_SCHEMA)
    [unit] = build_plan(items, probes, settings()).table().to_pylist()
    assert unit["sample_id"] == "a#0"
    assert unit["_probe_error"] == "not audio"
    assert unit["_num_samples"] == 0


def test_segment_settings_that_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="set tail: keep"):
        SegmentSpec(bucket_seconds=1.0)
