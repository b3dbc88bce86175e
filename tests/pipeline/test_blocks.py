"""Units → blocks and spans."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.blocks import MAX_SPANS, blocks_per_span, form_blocks, form_spans
from pipeline.planned import Plan


def plan_of(count: int) -> Plan:
    """Units of three shapes, mixed."""
    names = [f"{number:04d}" for number in range(count)]
    return Plan.of(
        pa.table(
            {
                "sample_id": pa.array(names, pa.string()),
                "duration_seconds": pa.array(np.ones(count)),
                "seed": pa.array(np.arange(count, dtype=np.uint64)),
                "_bucket_samples": pa.array(np.array([16, 16, 32])[np.arange(count) * 7 % 3], pa.int64()),
                "_bucket_channels": pa.array(1 + np.arange(count) // 40, pa.int32()),
                "_probe_error": pa.nulls(count, pa.string()),
            }
        )
    )


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
@pytest.mark.parametrize("in_span", [1, 3])
def test_spans_hold_each_unit_once_and_one_shape_each(size: int, in_span: int) -> None:
    plan = plan_of(100)
    ids = plan["sample_id"].to_pylist()
    spans = [plan.take(span).table() for span in form_spans(plan, size, blocks_per_span=in_span)]
    assert all(0 < span.num_rows <= size * in_span for span in spans)
    for column in ("_bucket_samples", "_bucket_channels"):
        assert all(len(set(span[column].to_pylist())) == 1 for span in spans)
    assert sorted(name for span in spans for name in span["sample_id"].to_pylist()) == ids
    assert all(span["sample_id"].to_pylist() == sorted(span["sample_id"].to_pylist()) for span in spans)
    firsts = [ids.index(span["sample_id"][0].as_py()) for span in spans]
    assert firsts == sorted(firsts)


def test_a_block_is_a_span_of_one() -> None:
    plan = plan_of(50)
    spans = [plan.take(span).table() for span in form_spans(plan, 8)]
    assert all(block.equals(span) for block, span in zip(form_blocks(plan.table(), 8), spans, strict=True))


def test_no_units_no_blocks() -> None:
    assert form_blocks(plan_of(5).table().slice(0, 0), 8) == []


def test_spans_are_as_short_as_their_number_allows() -> None:
    assert blocks_per_span(8 * MAX_SPANS, 8) == 1
    assert blocks_per_span(8 * MAX_SPANS + 1, 8) == 2
    assert blocks_per_span(0, 8) == 1
    assert 10_000_000 / (64 * blocks_per_span(10_000_000, 64)) <= MAX_SPANS
