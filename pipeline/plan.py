"""Items → units: the table of everything a job will make, derived from the spec and the source alone.

Within one file of T samples, units of L samples start every H samples:

    hop = length, tail = pad                    hop < length (overlap)
    |---- L ----|---- L ----|-- tail --·0·0|    |---- L ----|
                                                      |---- L ----|
                                                            |- tail -·0·0|

`tail: drop` leaves the last, shorter one out unless the file has no other; `tail: keep` pads it just to its bucket. A
prompt is not cut: its units are variations, all as long as it is to be.
Units are ordered by a seeded hash of their item, segments of one item in time order: readers get mixed data, decoders
get locality.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.planned import CHUNK, Facts, Plan, number_shapes, shape_code
from pipeline.seeds import unit_seeds
from pipeline.segment_spec import SegmentSpec
from workers.audio.decode_spec import DecodeSpec

UNIT_COLUMNS = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("_path", pa.string(), nullable=False),
        pa.field("_member", pa.string()),
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

LISTING_COLUMNS = ("_item", "_path", "_member", "_error", "_group", "_duration_seconds", "_variations")
"""Columns of a listing that are not carried into the plan as they are. Of the last four there may be none: what the
source already knows to be wrong with an item, which items are read best together, how long they are, and how many
units are to be made of each, all from its start on: such items are not cut."""

PAIR_COLUMNS = ("_candidate_path", "_candidate_member", "_pair_status")
"""Columns of a listing of pairs, which the plan carries and the store does not."""

PROMPT_COLUMNS = ("_prompt_audio_path",)
"""Columns of a listing of prompts, which the plan carries and the store does not: where the sound lies that a row goes
on from."""

SIDE_COLUMNS = ("_reference_samples", "_candidate_samples")
"""Columns of such a listing where clips count without a counterpart, too: how long each is at the rate of the
comparison, -1 where it is not there, -2 where it has another rate. Like those, they are not in the store."""

_ROUNDING_SAMPLES = 1e-4
"""A duration in seconds is this far from a whole number of samples by floating point alone."""


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
    num_recordings: int = 1
    """Recordings that a unit is cut from, side by side: two where pairs are compared."""
    min_tail_samples: int = 1
    """A shorter rest behind the last full unit is left out."""

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


def build_plan(items: pa.Table, probes: pa.Table | None, settings: PlanSettings) -> Plan:
    """Cuts every item into units.

    Args:
        items: LISTING_COLUMNS (the last three are optional) and metadata, one row per item.
        probes: PROBE_SCHEMA rows of the same items, in the same order; none where the listing has their durations.
        settings: how to cut.

    Returns:
        UNIT_COLUMNS and then the metadata columns, in plan order. An item that could not be probed is one unit with
        `_probe_error`.
    """
    total = _listed_lengths(items, settings.decode.sample_rate)
    if probes is not None:
        total = _resampled_lengths(probes, settings.decode.sample_rate)
    counts = _variations(items) if "_variations" in items.column_names else _segment_counts(total, settings)
    order = _item_order(items, settings.seed)
    item = np.repeat(order, counts[order])
    first = (np.cumsum(counts[order]) - counts[order]).astype(np.int32)
    segment = np.arange(len(item), dtype=np.int32) - np.repeat(first, counts[order])
    del counts, order, first
    rows = CutRows(items, probes, total, item, segment, settings)
    seeds, seconds = np.empty(len(item), np.uint64), np.empty(len(item), np.float64)
    shapes = np.empty(len(item), np.int64)
    for start in range(0, len(item), CHUNK):
        which = np.arange(start, min(start + CHUNK, len(item)))
        ids = rows.read(which, ["sample_id"])["sample_id"].combine_chunks()
        seeds[which] = unit_seeds(settings.seed, ids, "unit")
        length = rows.length(which)
        seconds[which] = length / settings.decode.sample_rate
        shapes[which] = shape_code(_bucket_samples(length, settings), rows.channels[item[which]])
    rows.seeds = seeds
    shape, distinct = number_shapes(shapes)
    readable = rows.readable_items[item]
    return Plan(rows, Facts(seeds=seeds, seconds=seconds, shape=shape, shapes=distinct, readable=readable))


class CutRows:
    """The rows of a plan, put together from the items and where they are cut."""

    def __init__(
        self,
        items: pa.Table,
        probes: pa.Table | None,
        total: NDArray[np.int64],
        item: NDArray[np.int32],
        segment: NDArray[np.int32],
        settings: PlanSettings,
    ) -> None:
        """Of units, each the `segment`-th of an item of `total` samples."""
        carried = [field for field in items.schema if field.name not in LISTING_COLUMNS]
        self.schema = pa.schema([*UNIT_COLUMNS, *carried])
        self.channels = _channels(probes, items.num_rows, settings.decode) * np.int32(settings.num_recordings)
        """Of each item."""
        self.seeds: NDArray[np.uint64] = np.zeros(0, np.uint64)
        """Of each unit."""
        errors = probes["error"] if probes is not None else _column(items, "_error")
        self.readable_items = np.asarray(errors.is_null())
        self._of_item = {
            "source": items["_item"],
            "_path": items["_path"],
            "_member": items["_member"],
            "_probe_error": errors,
            **{field.name: items[field.name] for field in carried},
        }
        self._total, self._item, self._segment, self._settings = total, item, segment, settings
        self._hop_samples = 0 if "_variations" in items.column_names else settings.hop_samples

    def read(self, positions: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """As `Rows` says."""
        fields = [self.schema.field(name) for name in columns]
        return pa.table([self._column(field, positions) for field in fields], schema=pa.schema(fields))

    def length(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Samples of units, `[positions]`."""
        settings = self._settings
        start = self._segment[positions] * np.int64(self._hop_samples)
        return np.clip(self._total[self._item[positions]] - start, 0, settings.length_samples)

    def _column(self, field: pa.Field, positions: NDArray[np.int64]) -> pa.Array:
        settings, rate = self._settings, self._settings.decode.sample_rate
        item, segment = self._item[positions], self._segment[positions]
        match field.name:
            case "sample_id":
                names, numbers = _take(self._of_item["source"], item), pa.array(segment).cast(pa.string())
                return pc.binary_join_element_wise(names.cast(pa.string()), numbers, "#")
            case "_start_sample":
                return pa.array(segment * np.int64(self._hop_samples))
            case "_num_samples":
                return pa.array(self.length(positions))
            case "start_seconds":
                return pa.array(segment * np.int64(self._hop_samples) / rate)
            case "duration_seconds":
                return pa.array(self.length(positions) / rate)
            case "seed":
                return pa.array(self.seeds[positions])
            case "_bucket_samples":
                return pa.array(_bucket_samples(self.length(positions), settings))
            case "_bucket_channels":
                return pa.array(self.channels[item])
            case name:
                taken = _take(self._of_item[name], item)
                return taken if taken.type == field.type else taken.cast(field.type)


def _item_order(items: pa.Table, seed: int) -> NDArray[np.int32]:
    """Items in plan order: shuffled, and where the listing has groups, the items of one together and shuffled in it."""
    alone = np.concatenate([unit_seeds(seed, chunk, "order") for chunk in items["_item"].chunks])
    order = np.argsort(alone, kind="stable")
    groups = _column(items, "_group")
    if groups.null_count < len(groups):
        order = order[np.argsort(_group_order(groups, alone, seed)[order], kind="stable")]
    return order.astype(np.int32)


def _group_order(groups: pa.ChunkedArray, alone: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Where the group of each item comes, `[items]`; an item without one is a group of its own."""
    encoded = groups.combine_chunks().dictionary_encode()
    order = unit_seeds(seed, encoded.dictionary, "order")
    return np.where(np.asarray(encoded.indices.is_null()), alone, order[encoded.indices.fill_null(0).to_numpy()])


def _column(items: pa.Table, name: str) -> pa.ChunkedArray:
    """A column of texts that a listing need not have; nulls then."""
    return items[name] if name in items.column_names else pa.chunked_array([pa.nulls(items.num_rows, pa.string())])


def _take(column: pa.ChunkedArray, rows: NDArray[np.int32]) -> pa.Array:
    """Some rows of a column that may lie in several pieces. Arrow's own puts all of the pieces together first."""
    if column.null_count == len(column):
        return pa.nulls(len(rows), column.type)
    first = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
    piece = np.searchsorted(first, rows, side="right") - 1
    order = np.argsort(piece, kind="stable")
    numbers, begins = np.unique(piece[order], return_index=True)
    runs = zip(numbers, np.split(rows[order], begins[1:]), strict=True)
    taken = [column.chunk(number).take(pa.array(run - first[number])) for number, run in runs]
    if len(taken) == 1:
        return taken[0]
    back = np.empty(len(rows), np.int64)
    back[order] = np.arange(len(rows))
    return pa.concat_arrays(taken).take(pa.array(back))


def _listed_lengths(items: pa.Table, rate: int) -> NDArray[np.int64]:
    """Samples of each item at `rate` by the durations of the listing, rounded up as from headers; 0 without one."""
    if "_duration_seconds" not in items.column_names:
        return np.zeros(items.num_rows, np.int64)
    return listed_samples(pc.fill_null(items["_duration_seconds"], 0.0).to_numpy(), rate)


def listed_samples(seconds: NDArray[np.float64], rate: int) -> NDArray[np.int64]:
    """Samples at `rate` of sounds that are so long, rounded up as lengths from headers are."""
    return np.ceil(seconds * rate - _ROUNDING_SAMPLES).astype(np.int64)


def _resampled_lengths(probes: pa.Table, rate: int) -> NDArray[np.int64]:
    """Samples of each item at `rate`, rounded up; 0 where the probe failed."""
    frames = pc.fill_null(probes["num_frames"], 0).to_numpy()
    native = pc.fill_null(probes["sample_rate"], 1).to_numpy().astype(np.int64)
    lengths: NDArray[np.int64] = -(-frames * rate // native)
    return lengths


def _variations(items: pa.Table) -> NDArray[np.int64]:
    """Units of each item where the listing says how many."""
    counts: NDArray[np.int64] = items["_variations"].to_numpy().astype(np.int64)
    return counts


def _segment_counts(total: NDArray[np.int64], settings: PlanSettings) -> NDArray[np.int64]:
    """Units of each item; at least one, so that a short or unreadable file is never lost."""
    length, hop = settings.length_samples, settings.hop_samples
    if settings.segment.tail == "drop":
        counts = 1 + (total - length) // hop
    elif hop <= length:
        counts = 1 + -(-(total - length) // hop)
    else:
        counts = -(-total // hop)
    if settings.min_tail_samples > 1:
        counts -= total - (counts - 1) * hop < settings.min_tail_samples
    counts = np.maximum(counts, 1)
    return np.minimum(counts, settings.segment.max_segments) if settings.segment.max_segments else counts


def _bucket_samples(length: NDArray[np.int64], settings: PlanSettings) -> NDArray[np.int64]:
    full = settings.padded_samples
    if settings.segment.tail != "keep":
        return np.full(len(length), full, np.int64)
    step = settings.bucket_step_samples
    shortest = _round_up(settings.min_samples, step)
    return np.minimum(np.maximum(-(-length // step) * step, shortest), full)


def _channels(probes: pa.Table | None, num_items: int, decode: DecodeSpec) -> NDArray[np.int32]:
    if decode.channels == "keep":
        if probes is None:
            raise ValueError("audio.channels is keep, which needs the headers that source.duration_column does without")
        channels: NDArray[np.int32] = pc.fill_null(probes["channels"], 1).to_numpy().astype(np.int32)
        return channels
    return np.full(num_items, 1 if decode.channels == "mono" else 2, np.int32)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
