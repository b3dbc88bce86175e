"""Two stores laid side by side: spec, environment, totals, units, rows and values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.base import RUNNING_FIELDS
from jobs.identity import differences, recorded_spec
from jobs.recorded import recorded_manifest
from jobs.spec_error import SpecError
from pipeline.progress import Progress, Silent
from pipeline.store.compare import Difference, gather_digests, match_ids
from pipeline.store.duplicates import ConflictingUnitsError, first_rows_only
from pipeline.store.index import Units, list_parts, locate_units
from pipeline.store.part import DamagedPartError
from pipeline.store.reader import LatentStore
from pipeline.store.schema import undigested

EXAMPLES = 5
SHOWN_CHARACTERS = 70
BATCH = 64
"""Rows whose values are in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDifference:
    """What differs between two stores. Pairs are of the first and the second."""

    stores: tuple[str, str]
    states: tuple[str, str]
    content_digests: tuple[str | None, str | None]
    spec: dict[str, tuple[Any, Any]]
    """Fields that decide content."""
    running: dict[str, tuple[Any, Any]]
    """Fields that do not."""
    environment: dict[str, tuple[str | None, str | None]]
    totals: dict[str, tuple[Any, Any]]
    num_units: tuple[int, int]
    num_only: tuple[int, int]
    """Units that one of them has and the other has not."""
    only: tuple[list[str], list[str]]
    """Some of these."""
    num_both: int
    num_different: int
    """Units that both have, with other content."""
    different: list[str]
    """Some of these."""
    num_compared: int
    """Of these, units whose values were compared."""
    columns: dict[str, tuple[str | None, str | None]]
    """Columns whose type, dtype or shape differ; None where there is none."""
    values: Difference

    @property
    def equal(self) -> bool:
        """Whether both hold the same units with the same content."""
        return not self.num_different and self.num_only == (0, 0)

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"equal": self.equal, "values": self.values.as_json()}


def diff_stores(first: str, second: str, progress: Progress | None = None, *, limit: int = 1000) -> StoreDifference:
    """Compares two stores.

    Ids and digests of all rows are in memory, about 60 bytes a row and store; values only of few rows at a time.

    Args:
        first: A store.
        second: Another one.
        progress: Hears how far it is.
        limit: Compare the values of so many of the rows that differ.

    Raises:
        SpecError: One of them is no store, or is damaged.
    """
    progress = progress or Silent()
    stores = first, second
    manifests = [recorded_manifest(store) for store in stores]
    specs = [recorded_spec(store) or {} for store in stores]
    progress.phase("reading where the units lie")
    try:
        opened = [LatentStore(store) for store in stores]
        units = [_sound_units(store) for store in stores]
        matched = match_ids(units[0].ids, units[1].ids)
        progress.phase(f"comparing the digests of {len(matched.both[0]):,} units")
        digests = [gather_digests(store, one)[at] for store, one, at in zip(stores, units, matched.both, strict=True)]
        other = np.flatnonzero((digests[0] != digests[1]).any(axis=1))
        different = matched.both[0][other]
        ids = _some(units[0], different, limit)
        values = _compare_values(opened, ids, progress)
    except (DamagedPartError, ConflictingUnitsError) as error:
        raise SpecError(f"{error}; `latentmill verify` tells all that is wrong") from error
    changed = differences(specs[0], specs[1])
    environments = [dict(manifest.environment) for manifest in manifests]
    totals = [manifest.totals.model_dump() for manifest in manifests]
    return StoreDifference(
        stores=stores,
        states=(manifests[0].state, manifests[1].state),
        content_digests=(manifests[0].content_digest, manifests[1].content_digest),
        spec={name: (old, new) for name, old, new in changed if not _is_running(name)},
        running={name: (old, new) for name, old, new in changed if _is_running(name)},
        environment=_pairs(*environments),
        totals=_pairs(*totals),
        num_units=(len(units[0]), len(units[1])),
        num_only=(len(matched.only_first), len(matched.only_second)),
        only=(_some(units[0], matched.only_first), _some(units[1], matched.only_second)),
        num_both=len(matched.both[0]),
        num_different=len(other),
        different=_some(units[0], different),
        num_compared=len(ids),
        columns=_pairs(*(_described_columns(store) for store in opened)) if all(map(len, units)) else {},
        values=values,
    )


def _sound_units(store: str) -> Units:
    """Where the units lie, without those rows that repeat another after a kill."""
    return first_rows_only(store, locate_units(store, list_parts(store)))


def _compare_values(opened: list[LatentStore], ids: list[str], progress: Progress) -> Difference:
    total = Difference()
    aside = undigested(opened[0].schema)
    shared = [name for name in opened[0].columns if name in opened[1].columns and name not in aside]
    for start in range(0, len(ids), BATCH):
        progress.phase(f"comparing the values of {len(ids):,} units that differ", f"{start:,} done")
        some = ids[start : start + BATCH]
        for before, after in zip(*(_rows(store, some, shared) for store in opened), strict=True):
            total.add(before, after)
    return total


def _rows(store: LatentStore, ids: list[str], columns: list[str]) -> list[dict[str, Any]]:
    batch = store.read(ids, columns)
    listed = {
        name: values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else values
        for name, values in batch.items()
    }
    return [{name: values[row] for name, values in listed.items()} for row in range(len(ids))]


def _described_columns(store: LatentStore) -> dict[str, str]:
    found, aside = {}, undigested(store.schema)
    for field in store.schema:
        tensor = store.tensors.get(field.name)
        if field.name not in aside:
            found[field.name] = (
                str(field.type) if tensor is None else f"{tensor.dtype} {list(tensor.shape) or 'varying'}"
            )
    return found


def _pairs(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (old, new) for name, old, new in differences(first, second)}


def _is_running(name: str) -> bool:
    return name.partition(".")[0] in RUNNING_FIELDS


def _some(units: Units, positions: NDArray[np.int64], limit: int = EXAMPLES) -> list[str]:
    return [name.as_py() for name in units.ids.take(pa.array(positions[:limit]))]


def describe_difference(found: StoreDifference) -> str:
    """A screen of text for a person; the first store is A, the second B."""
    first, second = found.stores
    lines = [f"A {first} ({found.states[0]})", f"B {second} ({found.states[1]})", _verdict(found)]
    lines += _section("spec", found.spec)
    lines += _section("columns", found.columns)
    if not found.equal:
        lines.append(
            f"  units        {found.num_units[0]:,} in A, {found.num_units[1]:,} in B, {found.num_both:,} in both"
        )
    for letter, count, examples in zip("AB", found.num_only, found.only, strict=True):
        if count:
            more = ", …" if count > len(examples) else ""
            lines.append(f"  only in {letter}    {count:,}: {', '.join(examples)}{more}")
    if found.num_different:
        lines += _values(found)
    if not found.equal:
        lines += _section("totals", found.totals)
    lines += _section("environment", found.environment)
    lines += _section("running", found.running)
    return "\n".join(lines)


def _verdict(found: StoreDifference) -> str:
    if not found.equal:
        return "they differ"
    same = f"the same {found.num_both:,} units with the same content"
    return f"{same}, digest {found.content_digests[0]}" if found.content_digests[0] else same


def _section(name: str, pairs: dict[str, tuple[Any, Any]]) -> list[str]:
    return [
        f"  {name if row == 0 else '':<13}{field}: {_shown(old)} → {_shown(new)}"
        for row, (field, (old, new)) in enumerate(pairs.items())
    ]


def _values(found: StoreDifference) -> list[str]:
    more = ", …" if found.num_different > len(found.different) else ""
    lines = [f"  differ       {found.num_different:,} of the units in both: {', '.join(found.different)}{more}"]
    if found.num_compared < found.num_different:
        lines.append(f"{'':15}values of the first {found.num_compared:,} compared (--limit)")
    for name, tensor in found.values.tensors.items():
        if tensor.num_rows:
            reshaped = f"; {tensor.num_reshaped:,} of other shape" if tensor.num_reshaped else ""
            size = f"at most {tensor.max_abs:.3g}, RMS {tensor.rms:.3g}"
            lines.append(f"{'':15}{name} in {tensor.num_rows:,}: {size}{reshaped}")
    return lines + [f"{'':15}{name} in {count:,}" for name, count in found.values.columns.items()]


def _shown(value: Any) -> str:
    text = "(unset)" if value is None else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
