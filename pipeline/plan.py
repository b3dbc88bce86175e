"""Items → units: the table of everything a job will make, derived from the spec and the source alone.

Within one file of T samples, units of L samples start every H samples:

    hop = length, tail = pad                    hop < length (overlap)
    |---- L ----|---- L ----|-- tail --·0·0|    |---- L ----|
                                                      |---- L ----|
                                                            |- tail -·0·0|

`tail: drop` leaves the last, shorter one out unless the file has no other; `tail: keep` pads it just to its bucket.
Units are ordered by a seeded hash of their item, segments of one item in time order: readers get mixed data, decoders
get locality.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.seeds import unit_seed
from pipeline.segment_spec import SegmentSpec
from workers.audio.decode_spec import DecodeSpec

UNIT_COLUMNS = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("_path", pa.string(), nullable=False),
        pa.field("_start_sample", pa.int64(), nullable=False),
        pa.field("_num_samples", pa.int64(), nullable=False),
        pa.field("start_seconds", pa.float64(), nullable=False),
        pa.field("duration_seconds", pa.float64(), nullable=False),
        pa.field("seed", pa.uint64(), nullable=False),
        pa.field("_bucket_samples", pa.int64(), nullable=False),
        pa.field("_bucket_channels", pa.int32(), nullable=False),
        pa.field("_probe_error", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What the plan needs to know of a job."""

    segment: SegmentSpec
    decode: DecodeSpec
    alignment_samples: int
    """Padded lengths are multiples of this, at the decode's sample rate: the model's grid."""
    min_samples: int
    """And at least this long: what one frame of the front end takes."""
    seed: int

    @property
    def length_samples(self) -> int:
        """Samples of audio in a full unit."""
        return max(1, round(self.segment.length_seconds * self.decode.sample_rate))

    @property
    def hop_samples(self) -> int:
        """Samples between the starts of two units."""
        return max(1, round((self.segment.hop_seconds or self.segment.length_seconds) * self.decode.sample_rate))

    @property
    def padded_samples(self) -> int:
        """Samples of a full unit with padding up to the model's grid."""
        return _round_up(max(self.length_samples, self.min_samples), self.alignment_samples)

    @property
    def bucket_step_samples(self) -> int:
        """Step between the padded lengths that `tail: keep` makes."""
        step = self.segment.bucket_seconds or self.segment.length_seconds / 8
        return _round_up(max(1, round(step * self.decode.sample_rate)), self.alignment_samples)


def build_plan(items: pa.Table, probes: pa.Table, settings: PlanSettings) -> pa.Table:
    """Cuts every item into units.

    Args:
        items: columns `_item`, `_path` and metadata, one row per item.
        probes: PROBE_SCHEMA rows of the same items, in the same order.
        settings: how to cut.

    Returns:
        UNIT_COLUMNS and then the metadata columns, in plan order. An item that could not be probed is one unit with
        `probe_error`.
    """
    rate = settings.decode.sample_rate
    total = _resampled_lengths(probes, rate)
    counts = _segment_counts(total, settings)
    item_order = np.array([unit_seed(settings.seed, item, "order") for item in items["_item"].to_pylist()], np.uint64)
    ranks = np.argsort(item_order, kind="stable")
    item_of_unit = np.repeat(ranks, counts[ranks])
    segment = np.arange(len(item_of_unit)) - np.repeat(np.cumsum(counts[ranks]) - counts[ranks], counts[ranks])

    start = segment * settings.hop_samples
    length = np.clip(total[item_of_unit] - start, 0, settings.length_samples)
    names = items["_item"].combine_chunks().take(pa.array(item_of_unit))
    sample_ids = pc.binary_join_element_wise(names, pc.cast(pa.array(segment), pa.string()), "#")
    errors = probes["error"].combine_chunks().take(pa.array(item_of_unit))
    units = pa.table(
        {
            "sample_id": sample_ids,
            "source": names,
            "_path": items["_path"].combine_chunks().take(pa.array(item_of_unit)),
            "_start_sample": start,
            "_num_samples": length,
            "start_seconds": start / rate,
            "duration_seconds": length / rate,
            "seed": np.array([unit_seed(settings.seed, name, "unit") for name in sample_ids.to_pylist()], np.uint64),
            "_bucket_samples": _bucket_samples(length, settings),
            "_bucket_channels": _channels(probes, settings.decode)[item_of_unit],
            "_probe_error": errors,
        },
        schema=UNIT_COLUMNS,
    )
    for field in items.schema:
        if field.name not in ("_item", "_path"):
            units = units.append_column(field, items[field.name].take(pa.array(item_of_unit)))
    return units


def form_blocks(units: pa.Table, units_per_block: int) -> list[pa.Table]:
    """Cuts units into blocks of one shape bucket each, in the order of each block's first unit."""
    samples = units["_bucket_samples"].to_numpy()
    channels = units["_bucket_channels"].to_numpy()
    chunks: list[NDArray[np.int64]] = []
    for shape in np.unique(np.stack([samples, channels]), axis=1).T:
        members = np.flatnonzero((samples == shape[0]) & (channels == shape[1]))
        chunks += [members[start : start + units_per_block] for start in range(0, len(members), units_per_block)]
    chunks.sort(key=lambda chunk: int(chunk[0]))
    contiguous = [len(chunk) == chunk[-1] - chunk[0] + 1 for chunk in chunks]
    return [
        units.slice(chunk[0], len(chunk)) if whole else units.take(pa.array(chunk))
        for chunk, whole in zip(chunks, contiguous, strict=True)
    ]


def _resampled_lengths(probes: pa.Table, rate: int) -> NDArray[np.int64]:
    """Samples of each item at `rate`, rounded up; 0 where the probe failed."""
    frames = pc.fill_null(probes["num_frames"], 0).to_numpy()
    native = pc.fill_null(probes["sample_rate"], 1).to_numpy().astype(np.int64)
    lengths: NDArray[np.int64] = -(-frames * rate // native)
    return lengths


def _segment_counts(total: NDArray[np.int64], settings: PlanSettings) -> NDArray[np.int64]:
    """Units of each item; at least one, so that a short or unreadable file is never lost."""
    length, hop = settings.length_samples, settings.hop_samples
    if settings.segment.tail == "drop":
        counts = 1 + (total - length) // hop
    elif hop <= length:
        counts = 1 + -(-(total - length) // hop)
    else:
        counts = -(-total // hop)
    counts = np.maximum(counts, 1)
    return np.minimum(counts, settings.segment.max_segments) if settings.segment.max_segments else counts


def _bucket_samples(length: NDArray[np.int64], settings: PlanSettings) -> NDArray[np.int64]:
    full = settings.padded_samples
    if settings.segment.tail != "keep":
        return np.full(len(length), full, np.int64)
    step = settings.bucket_step_samples
    shortest = _round_up(settings.min_samples, step)
    return np.minimum(np.maximum(-(-length // step) * step, shortest), full)


def _channels(probes: pa.Table, decode: DecodeSpec) -> NDArray[np.int32]:
    if decode.channels == "keep":
        channels: NDArray[np.int32] = pc.fill_null(probes["channels"], 1).to_numpy().astype(np.int32)
        return channels
    return np.full(probes.num_rows, 1 if decode.channels == "mono" else 2, np.int32)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
