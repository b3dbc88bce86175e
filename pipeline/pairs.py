"""Pairs of recordings as what the units of a job are cut from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.decode import decode_pairs
from pipeline.inputs import Looked
from pipeline.model_stage import Batch, as_batch
from pipeline.plan import PAIR_COLUMNS, SIDE_COLUMNS
from pipeline.probe import PROBE_SCHEMA, probe_items
from pipeline.sides import SIDES, places_of, side_lengths
from pipeline.source import Listing
from pipeline.source.match_by import MatchBy
from pipeline.source.pairs import list_pairs
from pipeline.source_spec import SourceSpec
from workers.audio.decode_spec import DecodeSpec
from workers.audio.resample import resampled_length
from workers.guarded.limits import GuardLimits
from workers.metrics.metric_names import PAIR_STATUSES

ABSENT = ("no_reference", "no_candidate")
"""Statuses of items that lack one of SIDES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What was made, beside what it was made from; see `pipeline.inputs.Inputs`."""

    reference: SourceSpec
    candidate: SourceSpec
    match_by: MatchBy
    sample_rate: int
    """At which pairs are compared, Hz."""
    resamples: bool
    """Whether clips of other rates are resampled to it; else their pairs are not compared."""
    max_difference_samples: int
    """By how many samples lengths may differ at that rate; the shorter counts."""
    alone: bool = False
    """Whether clips count, too, that have no counterpart or one of another length."""
    may_be_unpaired: bool = False
    """Whether there need not be a single pair."""
    text_column: str | None = None
    """Column of the references that says what a candidate should sound like."""

    @property
    def noun(self) -> str:
        """As `Inputs` says."""
        return "pairs"

    @property
    def columns(self) -> tuple[str, ...]:
        """As `Inputs` says."""
        return ("_path", "_member", *PAIR_COLUMNS, *(SIDE_COLUMNS if self.alone else ()))

    @property
    def listed_lengths(self) -> bool:
        """Never: lengths are compared."""
        return False

    @property
    def batch(self) -> Batch:
        """As `Inputs` says."""
        return partial(pair_batch, text_column=self.text_column)

    @property
    def decodes(self) -> bool:
        """Always."""
        return True

    def fingerprint(self) -> None:
        """Listing has to tell."""

    def listing(self) -> Listing:
        """As `Inputs` says."""
        return list_pairs(self.reference, self.candidate, match_by=self.match_by, may_be_unpaired=self.may_be_unpaired)

    def probe(
        self, items: pa.Table, known: pa.Table | None, on_progress: Callable[[int], None], limits: GuardLimits
    ) -> Looked:
        """Reads the headers of both sides.

        Items have the statuses of rates and lengths then, and where clips count without a counterpart the length of
        each. Probes have the length of what is decoded, for pairs that at which they are compared, and in place of
        times and fingerprints a digest of both sides': what is on which side matters.
        """
        listed = items["_pair_status"].combine_chunks()
        paired = np.asarray(pc.equal(listed, "ok"))
        there = [paired | (self.alone & np.asarray(pc.not_equal(listed, absent))) for absent in ABSENT]
        headers = []
        for side, prefix, present in zip(SIDES, self._prefixes, there, strict=True):
            clips = _clips(items, side).filter(pa.array(present))
            headers.append(probe_items(clips, _known(known, prefix), on_progress, limits=limits))
        spread = [_spread(table, present) for table, present in zip(headers, there, strict=True)]
        broken = np.asarray(pc.is_valid(spread[0]["error"])) | np.asarray(pc.is_valid(spread[1]["error"]))
        lengths, rates = zip(*(self._lengths(table) for table in spread), strict=True)
        looked = there[0] | there[1]
        good = looked & ~broken
        wrong = [good & present & (rate != self.sample_rate) for present, rate in zip(there, rates, strict=True)]
        if self.resamples:
            wrong = [np.zeros(len(looked), np.bool_) for _ in SIDES]
        other_rate = wrong[0] | wrong[1]
        refusal = None
        if other_rate.any() and (other_rate | ~good)[looked].all():
            known_rates = [rate[good & present] for rate, present in zip(rates, there, strict=True)]
            refusal = self._no_such_rate(known_rates)
        comparable = good & paired & ~other_rate
        other_length = comparable & (np.abs(lengths[0] - lengths[1]) > self.max_difference_samples)
        same = comparable & ~other_length
        status = np.select(
            [other_rate & paired, other_length], ["rate_mismatch", "length_mismatch"], np.asarray(listed)
        )
        items = _replaced(items, "_pair_status", pa.array(status.tolist(), pa.string()))
        counted = np.where(same, np.minimum(*lengths), 0)
        if self.alone:
            usable = np.select([~np.stack(there), np.stack(wrong), same], [-1, -2, counted], np.where(good, lengths, 0))
            counted = usable.max(axis=0).clip(min=0)
            for name, samples in zip(SIDE_COLUMNS, usable, strict=True):
                items = items.append_column(name, pa.array(samples))
        return Looked(
            items=items,
            probes=self._probes(items, looked, spread, counted),
            headers=pa.concat_tables([_prefixed(*one) for one in zip(headers, self._prefixes, strict=True)]),
            notes=_not_compared(items["_pair_status"]),
            refusal=refusal,
        )

    def decoder(self, spec: DecodeSpec, limits: GuardLimits) -> Callable[[pa.Table], pa.Table]:
        """As `Inputs` says."""
        return partial(decode_pairs, spec=spec, limits=limits)

    @property
    def _prefixes(self) -> tuple[str, ...]:
        """What headers are remembered under: no file is called so, and files of other folders are other files."""
        paths = (str(source.path) for source in (self.reference, self.candidate))
        return tuple(f"\0{side}\0{path}\0" for side, path in zip(SIDES, paths, strict=True))

    def _lengths(self, headers: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Samples of each clip at the rate of the comparison, and its own rate."""
        frames = pc.fill_null(headers["num_frames"], 0).to_numpy()
        rates = pc.fill_null(headers["sample_rate"], 1).to_numpy().astype(np.int64)
        rows = zip(frames.tolist(), rates.tolist(), strict=True)
        lengths = [resampled_length(length, rate_in=rate, rate_out=self.sample_rate) for length, rate in rows]
        return np.array(lengths, np.int64), rates

    def _no_such_rate(self, rates: list[NDArray[np.int64]]) -> str:
        found = [", ".join(f"{rate} Hz" for rate in np.unique(side)) for side in rates]
        return (
            f"sample_rate is {self.sample_rate}, and no pair has it: references have {found[0]}, candidates {found[1]};"
            " set sample_rate, or a resampler such as `resampler: HQ`"
        )

    def _probes(
        self, items: pa.Table, looked: NDArray[np.bool_], headers: list[pa.Table], lengths: NDArray[np.int64]
    ) -> pa.Table:
        first, second = headers
        digests = [_together(*both) for both in zip(_contents(first), _contents(second), strict=True)]
        errors = [
            pc.binary_join_element_wise(table["error"], f"({side})", " ")
            for table, side in zip(headers, SIDES, strict=True)
        ]
        if "_error" in items.column_names:
            errors = [items["_error"], *errors]
        sizes = [pc.fill_null(table["size_bytes"], 0) for table in headers]
        values = {
            "size_bytes": pc.add(*sizes),
            "modified_ns": pa.array([int.from_bytes(digest[:7], "little") for digest in digests]),
            "fingerprint": pa.array(digests, pa.binary(16)),
            "sample_rate": pa.array(np.full(len(lengths), self.sample_rate, np.int32)),
            "channels": pa.array(np.ones(len(lengths), np.int32)),
            "num_frames": pa.array(lengths),
            "codec": pc.coalesce(first["codec"], second["codec"]),
            "error": pc.coalesce(*errors),
        }
        mask = pa.array(looked)
        columns = {name: pc.if_else(mask, column, pa.scalar(None, column.type)) for name, column in values.items()}
        return pa.table({"item": items["_item"], **columns}).cast(PROBE_SCHEMA)


def _clips(items: pa.Table, side: str) -> pa.Table:
    """One side's clips as items of their own."""
    return pa.table([items["_item"], *places_of(items, side)], names=["_item", "_path", "_member"])


def _spread(headers: pa.Table, present: NDArray[np.bool_]) -> pa.Table:
    """Headers of some items as rows for all, null where there is none."""
    return headers.take(pa.array(np.cumsum(present) - 1, mask=~present))


def _replaced(items: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return items.set_column(items.column_names.index(name), name, column)


def _not_compared(status: pa.ChunkedArray) -> tuple[str, ...]:
    counts = sorted((str(row["values"]), row["counts"]) for row in pc.value_counts(status).to_pylist())
    others = ", ".join(f"{count:,} {name}" for name, count in counts if name != "ok")
    return (f"of {len(status):,} pairs, these cannot be compared: {others}",) if others else ()


def _contents(headers: pa.Table) -> list[str]:
    """What tells whether a file is another one: its fingerprint, or its time where there is none."""
    rows = zip(headers["fingerprint"].to_pylist(), headers["modified_ns"].to_pylist(), strict=True)
    return [str(modified) if fingerprint is None else fingerprint.hex() for fingerprint, modified in rows]


def _together(first: str, second: str) -> bytes:
    return blake2b(f"{first}\0{second}".encode(), digest_size=16).digest()


def _prefixed(headers: pa.Table, prefix: str) -> pa.Table:
    names = pc.binary_join_element_wise(prefix, headers["item"], "")
    return headers.set_column(0, PROBE_SCHEMA.field("item"), names)


def _known(known: pa.Table | None, prefix: str) -> pa.Table | None:
    """Headers that were remembered under a prefix, under their own names."""
    if known is None:
        return None
    own = known.filter(pc.starts_with(known["item"], prefix))
    return own.set_column(0, PROBE_SCHEMA.field("item"), pc.utf8_slice_codeunits(own["item"], len(prefix)))


def pair_batch(block: pa.Table, channels: int, samples: int, *, text_column: str | None = None) -> dict[str, Any]:
    """What `EvaluateWorker` takes, of a block that `decode_pairs` made.

    Beside what `as_batch` gives, `pair_status` int8 [n], places in PAIR_STATUSES; `side_samples` int64 [n, 2], the true
    lengths of reference and candidate, -1 where there is none; and where there is a text column, n `text`s.
    """
    places = pc.index_in(block["_pair_status"], value_set=pa.array(PAIR_STATUSES))
    batch: dict[str, Any] = {
        **as_batch(block, channels, samples),
        "pair_status": places.to_numpy().astype(np.int8),
        "side_samples": side_lengths(block),
    }
    if text_column is not None:
        batch["text"] = [text or "" for text in block[text_column].to_pylist()]
    return batch
