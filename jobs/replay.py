"""One unit made again and laid beside what the store holds."""

from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np
import pyarrow.compute as pc

from jobs.recompute import Remaker
from jobs.spec_error import SpecError
from pipeline.failure import BlockFailure
from pipeline.quarantine import read_quarantine
from pipeline.store.compare import Difference
from pipeline.store.reader import LatentStore
from pipeline.store.schema import MICROBATCH, SAMPLE_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How one unit came out this time."""

    sample_id: str
    stored: bool
    quarantined_reason: str | None
    """Why it failed when the store was made; None if it did not."""
    failure: str | None
    """Why it failed now; None if it did not."""
    microbatch: int
    """Rows that were computed at once."""
    shapes: dict[str, tuple[list[int] | None, list[int] | None]]
    """Shape of each tensor in the store and now; None where there is none."""
    difference: Difference = field(default_factory=Difference)
    environment: dict[str, tuple[str | None, str | None]]
    """What differs between there and here, by name."""
    seconds: float
    """To load the model and make the unit."""

    @property
    def equal(self) -> bool:
        """Whether it came out as before: bit for bit the same, or failing again."""
        if self.stored:
            return self.failure is None and self.difference.is_empty
        return self.failure is not None

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"equal": self.equal, "difference": self.difference.as_json()}


def replay_unit(store: str, sample_id: str) -> Replay:
    """Makes one unit of a store again, in this process.

    Raises:
        SpecError: There is no such store or unit, or its units cannot be made here.
    """
    remaker = Remaker(store)
    units = remaker.units([sample_id])
    if not units.num_rows:
        near = ", ".join(remaker.like(sample_id))
        raise SpecError(f"{store}: no unit {sample_id!r} in its plan; there are, for example: {near}")
    opened = LatentStore(store)
    before = opened.by_id(sample_id) if sample_id in opened else None
    microbatch = int((before or {}).get(MICROBATCH, remaker.microbatch))
    started = monotonic()
    ((_, made),) = remaker.retry(units, microbatch)
    seconds = monotonic() - started
    failed = isinstance(made, BlockFailure)
    now: dict[str, Any] = {} if isinstance(made, BlockFailure) else made
    difference = Difference()
    if before is not None and not failed:
        difference.add(before, now)
    return Replay(
        sample_id=sample_id,
        stored=before is not None,
        quarantined_reason=_quarantined_reason(store, sample_id) if before is None else None,
        failure=f"{made.stage}: {made.reason}" if isinstance(made, BlockFailure) else None,
        microbatch=microbatch,
        shapes={name: (_shape(before, name), _shape(now, name)) for name in _tensors(before) | _tensors(now)},
        difference=difference,
        environment=remaker.environment,
        seconds=seconds,
    )


def describe_replay(replay: Replay) -> str:
    """A few lines for a person."""
    lines = [f"{replay.sample_id}: {_outcome(replay)}"]
    for name, (there, now) in sorted(replay.shapes.items()):
        tensor = replay.difference.tensors.get(name)
        text = f"{_shown(there)} in the store, {_shown(now)} now"
        if tensor is not None:
            far = f"differs by at most {tensor.max_abs:.3g}, RMS {tensor.rms:.3g}" if tensor.num_values else "differs"
            text += f": {far if tensor.num_rows else 'bit for bit equal'}"
        lines.append(f"  {name:<15}{text}")
    lines += [f"  {name:<15}differs" for name in replay.difference.columns]
    if replay.quarantined_reason:
        lines.append(f"  {'before':<15}{replay.quarantined_reason}")
    if replay.failure:
        lines.append(f"  {'now':<15}{replay.failure}")
    lines.append(f"  {'microbatch':<15}{replay.microbatch}")
    lines.append(f"  {'time':<15}{replay.seconds:.2f} s, loading the model included")
    lines += [f"  {name:<15}{then} there, {now} here" for name, (then, now) in replay.environment.items()]
    return "\n".join(lines)


def _outcome(replay: Replay) -> str:
    if replay.stored:
        if replay.failure:
            return "cannot be made again"
        return "bit for bit equal" if replay.equal else "differs"
    where = "in quarantine" if replay.quarantined_reason else "not made yet"
    if replay.failure:
        return f"{where}, and fails now too"
    return f"{where}, and can be made now" + (
        "; run the job with --retry-quarantined" if replay.quarantined_reason else ""
    )


def _quarantined_reason(store: str, sample_id: str) -> str | None:
    table = read_quarantine(store)
    rows = table.filter(pc.equal(table[SAMPLE_ID], sample_id)).to_pylist()
    return f"{rows[0]['stage']}: {rows[0]['reason']}" if rows else None


def _tensors(row: dict[str, Any] | None) -> set[str]:
    return {name for name, value in (row or {}).items() if isinstance(value, np.ndarray)}


def _shape(row: dict[str, Any] | None, name: str) -> list[int] | None:
    return list(row[name].shape) if row is not None and name in row else None


def _shown(shape: list[int] | None) -> str:
    return "none" if shape is None else str(shape)
