"""What the units of a job are cut from: how it is listed, looked at and decoded."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from pipeline.decode import decode_block
from pipeline.model_stage import Batch
from pipeline.probe import PROBE_SCHEMA, probe_items
from pipeline.source import Listing, list_source
from pipeline.source.fingerprint import fingerprint
from pipeline.source_spec import SourceSpec
from workers.audio.decode_spec import DecodeSpec
from workers.guarded.limits import GuardLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Items that were looked at."""

    items: pa.Table
    """With what was found out about them."""
    probes: pa.Table
    """PROBE_SCHEMA, a row for each."""
    headers: pa.Table = field(default_factory=PROBE_SCHEMA.empty_table)
    """What is remembered besides, so that it need not be read again."""
    notes: tuple[str, ...] = ()
    """What a person should know, one sentence each."""
    refusal: str | None = None
    """Why a job on all of these makes no sense."""


class Inputs(Protocol):
    """One kind of input; a job says which in `Job.inputs`."""

    @property
    def noun(self) -> str:
        """What several items are called."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the plan that say where an item lies."""
        ...

    @property
    def listed_lengths(self) -> bool:
        """Whether the source says how long its items are, so that no header is read."""
        ...

    @property
    def batch(self) -> Batch | None:
        """What makes of a decoded block what a worker takes; waveforms if none."""
        ...

    @property
    def decodes(self) -> bool:
        """Whether units become waveforms before a model sees them; else they travel as they are."""
        ...

    def fingerprint(self) -> dict[str, Any] | None:
        """What the listing follows from, where that can be told without listing; else none."""
        ...

    def listing(self) -> Listing:
        """The items.

        Raises:
            SourceError: there are none, or they cannot be listed.
        """
        ...

    def probe(
        self, items: pa.Table, known: pa.Table | None, on_progress: Callable[[int], None], limits: GuardLimits
    ) -> Looked:
        """Looks at items.

        Args:
            items: of a listing, or `columns` of the plan under the names of one.
            known: an earlier result.
            on_progress: called with the number of files done since the last call.
            limits: what one file may cost.
        """
        ...

    def decoder(self, spec: DecodeSpec, limits: GuardLimits) -> Callable[[pa.Table], pa.Table]:
        """What decodes a block of units, see `decode_block`; it is sent to every task."""
        ...


@dataclass(frozen=True, slots=True)
class Recordings:
    """Recordings of one source, each of which is cut into units."""

    source: SourceSpec

    @property
    def noun(self) -> str:
        """As `Inputs` says."""
        return "files"

    @property
    def columns(self) -> tuple[str, ...]:
        """As `Inputs` says."""
        return ("_path", "_member")

    @property
    def listed_lengths(self) -> bool:
        """Whether there is a column of durations."""
        return self.source.duration_column is not None

    @property
    def batch(self) -> None:
        """Waveforms."""

    @property
    def decodes(self) -> bool:
        """Always."""
        return True

    def fingerprint(self) -> dict[str, Any] | None:
        """As `Inputs` says."""
        return fingerprint(self.source)

    def listing(self) -> Listing:
        """As `Inputs` says."""
        return list_source(self.source)

    def probe(
        self, items: pa.Table, known: pa.Table | None, on_progress: Callable[[int], None], limits: GuardLimits
    ) -> Looked:
        """The items as they are, and their headers."""
        return Looked(items=items, probes=probe_items(items, known, on_progress, limits=limits))

    def decoder(self, spec: DecodeSpec, limits: GuardLimits) -> Callable[[pa.Table], pa.Table]:
        """As `Inputs` says."""
        return partial(decode_block, spec=spec, limits=limits, listed_lengths=self.listed_lengths)
