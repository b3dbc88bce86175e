"""Pairs of recordings as what the units of a job are cut from."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.decode import decode_pairs
from pipeline.inputs import Looked
from pipeline.plan import PAIR_COLUMNS
from pipeline.probe import PROBE_SCHEMA, probe_items
from pipeline.source import Listing, SourceError
from pipeline.source.match_by import MatchBy
from pipeline.source.pairs import list_pairs
from pipeline.source_spec import SourceSpec
from workers.audio.decode_spec import DecodeSpec
from workers.audio.resample import resampled_length
from workers.guarded.limits import GuardLimits

SIDES = ("reference", "candidate")


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

    @property
    def columns(self) -> tuple[str, ...]:
        """As `Inputs` says."""
        return ("_path", "_member", *PAIR_COLUMNS)

    @property
    def listed_lengths(self) -> bool:
        """Never: lengths are compared."""
        return False

    def fingerprint(self) -> None:
        """Listing has to tell."""

    def listing(self) -> Listing:
        """As `Inputs` says."""
        return list_pairs(self.reference, self.candidate, match_by=self.match_by)

    def probe(
        self, items: pa.Table, _: pa.Table | None, on_progress: Callable[[int], None], limits: GuardLimits
    ) -> Looked:
        """Reads the headers of both sides, all of them anew: what is remembered is of pairs.

        Items have the statuses of rates and lengths then. Probes have the length at which a pair is compared, time and
        size of both files together, and a digest of their fingerprints.

        Raises:
            SourceError: no pair has the rate at which pairs are compared.
        """
        paired = np.asarray(pc.equal(items["_pair_status"], "ok"))
        pairs = items.filter(pa.array(paired))
        headers = [probe_items(clips, None, on_progress, limits=limits) for clips in _clips(pairs)]
        broken = np.asarray(pc.is_valid(headers[0]["error"])) | np.asarray(pc.is_valid(headers[1]["error"]))
        lengths, rates = zip(*(self._lengths(table) for table in headers), strict=True)
        other_rate = ~broken & ((rates[0] != self.sample_rate) | (rates[1] != self.sample_rate))
        if self.resamples:
            other_rate[:] = False
        elif len(other_rate) and (other_rate | broken).all() and other_rate.any():
            raise SourceError(self._no_such_rate(rates, ~broken))
        other_length = ~broken & ~other_rate & (np.abs(lengths[0] - lengths[1]) > self.max_difference_samples)
        fine = ~broken & ~other_rate & ~other_length
        status = np.select([other_rate, other_length], ["rate_mismatch", "length_mismatch"], "ok")
        items = _with_status(items, paired, status)
        return Looked(
            items=items,
            probes=self._probes(items, paired, headers, np.where(fine, np.minimum(*lengths), 0)),
            notes=_not_compared(items["_pair_status"]),
        )

    def decoder(self, spec: DecodeSpec, limits: GuardLimits) -> Callable[[pa.Table], pa.Table]:
        """As `Inputs` says."""
        return partial(decode_pairs, spec=spec, limits=limits)

    def _lengths(self, headers: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Samples of each clip at the rate of the comparison, and its own rate."""
        frames = pc.fill_null(headers["num_frames"], 0).to_numpy()
        rates = pc.fill_null(headers["sample_rate"], 1).to_numpy().astype(np.int64)
        rows = zip(frames.tolist(), rates.tolist(), strict=True)
        lengths = [resampled_length(length, rate_in=rate, rate_out=self.sample_rate) for length, rate in rows]
        return np.array(lengths, np.int64), rates

    def _no_such_rate(self, rates: tuple[NDArray[np.int64], ...], known: NDArray[np.bool_]) -> str:
        found = [", ".join(f"{rate} Hz" for rate in np.unique(side[known])) for side in rates]
        return (
            f"sample_rate is {self.sample_rate}, and no pair has it: references have {found[0]}, candidates {found[1]};"
            " set sample_rate, or a resampler such as `resampler: HQ`"
        )

    def _probes(
        self, items: pa.Table, paired: NDArray[np.bool_], headers: list[pa.Table], lengths: NDArray[np.int64]
    ) -> pa.Table:
        first, second = headers
        digests = zip(first["fingerprint"].to_pylist(), second["fingerprint"].to_pylist(), strict=True)
        errors = [
            pc.binary_join_element_wise(table["error"], f"({side})", " ")
            for table, side in zip(headers, SIDES, strict=True)
        ]
        if "_error" in items.column_names:
            errors = [items["_error"].filter(pa.array(paired)), *errors]
        values = {
            "size_bytes": pc.add(first["size_bytes"], second["size_bytes"]),
            "modified_ns": pc.add(first["modified_ns"], second["modified_ns"]),
            "fingerprint": pa.array([_together(*both) for both in digests], pa.binary(16)),
            "sample_rate": pa.array(np.full(len(lengths), self.sample_rate, np.int32)),
            "channels": pa.array(np.ones(len(lengths), np.int32)),
            "num_frames": pa.array(lengths),
            "codec": first["codec"],
            "error": pc.coalesce(*errors),
        }
        places = pa.array(np.cumsum(paired) - 1, mask=~paired)
        columns = {name: pa.chunked_array([_flat(column)]).take(places) for name, column in values.items()}
        return pa.table({"item": items["_item"], **columns}).cast(PROBE_SCHEMA)


def _clips(pairs: pa.Table) -> tuple[pa.Table, pa.Table]:
    """References and candidates of pairs, as items of their own."""
    candidates = pairs.select(["_item", "_candidate_path", "_candidate_member"])
    names = ["_item", "_path", "_member"]
    return pairs.select(names), candidates.rename_columns(names)


def _with_status(items: pa.Table, paired: NDArray[np.bool_], status: NDArray[np.str_]) -> pa.Table:
    values = np.array(items["_pair_status"].to_pylist(), object)
    values[paired] = status
    return items.set_column(
        items.column_names.index("_pair_status"), "_pair_status", pa.array(values.tolist(), pa.string())
    )


def _not_compared(status: pa.ChunkedArray) -> tuple[str, ...]:
    counts = Counter(status.to_pylist())
    others = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()) if name != "ok")
    return (f"of {len(status):,} pairs, these cannot be compared: {others}",) if others else ()


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _together(first: bytes | None, second: bytes | None) -> bytes | None:
    """One fingerprint for two, none where one is missing."""
    if first is None or second is None:
        return None
    return blake2b(first + second, digest_size=16).digest()
