"""Whether what a store holds adds up: plan = store + quarantine, and the index against the parts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store import location
from pipeline.store.index import PARTS_KEY
from pipeline.store.inspection import Finding, PartFacts, as_text

RUN_AGAIN = "run the job again"
REBUILD_INDEX = f"delete {location.INDEX} and run the job again, which writes it anew"


@dataclass(slots=True, kw_only=True)
class Accounts:
    """Units by where they are."""

    num_planned: int = 0
    num_stored: int = 0
    """Different ids in `data/`."""
    num_quarantined: int = 0
    num_pending: int = 0
    """Planned, and neither stored nor quarantined, in a store that is not finished."""
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def take_accounts(
    planned: pa.Array, parts: Sequence[PartFacts], quarantined: pa.Array, *, finished: bool, num_incomplete: int = 0
) -> Accounts:
    """Checks that each planned unit is stored or quarantined, once.

    Args:
        planned: Ids of the plan, large strings.
        parts: What is in `data/`.
        quarantined: Ids in the quarantine, each once.
        finished: Whether the job is complete; if not, missing units are pending and repeated ones dropped later.
        num_incomplete: Parts that cannot be read, or not all of them, so that their units seem to be missing.
    """
    ids = pa.concat_arrays([part.ids for part in parts]) if parts else pa.array([], pa.large_string())
    stored = ids.unique()
    accounts = Accounts(num_planned=len(planned), num_stored=len(stored), num_quarantined=len(quarantined))
    there = pa.concat_arrays([stored, quarantined])
    groups = (
        ("plan", "twice in the plan", _repeated(planned), "delete the folder plan/ and run the job again"),
        (location.DATA, "not in the plan", _outside(stored, planned), "see `latentmill plan`, or run with --prune"),
        (location.QUARANTINE, "not in the plan", _outside(quarantined, planned), RUN_AGAIN),
        (location.QUARANTINE, "stored and in quarantine as well", _inside(quarantined, stored), RUN_AGAIN),
    )
    for file, what, units, remedy in groups:
        if len(units):
            accounts.findings.append(Finding(file, _units(units, what), remedy))
    missing = _outside(planned, there)
    if finished and len(missing):
        known = f"; {num_incomplete:,} damaged file(s) may hold them" if num_incomplete else ""
        what = _units(missing, "of the plan neither stored nor quarantined") + known
        accounts.findings.append(Finding(location.DATA, what, f"{RUN_AGAIN}: it makes just these"))
    elif not finished:
        accounts.num_pending = len(missing)
    if len(stored) < len(ids):
        _tell_repeated(accounts, parts, ids, finished)
    return accounts


def check_index(table: pa.Table, sizes: Mapping[str, int], parts: Sequence[PartFacts]) -> str:
    """What is wrong with the index of a finished store; empty if it agrees with the parts.

    Args:
        table: The index as it was read.
        sizes: Bytes of each part, by name.
        parts: What is in them, in the order of `sizes`.
    """
    if json.loads((table.schema.metadata or {}).get(PARTS_KEY, b"{}")) != dict(sizes):
        return "it was built from other parts than are there"
    first = dict(zip(sizes, np.cumsum([0, *(len(part.ids) for part in parts)]).tolist(), strict=False))
    ids = pa.concat_arrays([part.ids for part in parts])
    groups = np.concatenate([part.groups for part in parts])
    files = table.column("file").combine_chunks()
    starts = np.array([first[name] for name in files.dictionary.to_pylist()], np.int64)
    places = starts[files.indices.to_numpy()] + table.column("row").to_numpy()
    if len(places) != len(ids) or len(np.unique(places)) != len(ids) or places.max(initial=0) >= len(ids):
        return f"it lists {len(places):,} rows, and the parts have {len(ids):,}"
    listed = table.column("sample_id").combine_chunks().cast(pa.large_string())
    if not listed.equals(ids.take(pa.array(places))):
        return "it gives rows that hold other units"
    if not np.array_equal(table.column("row_group").to_numpy(), groups[places]):
        return "it gives wrong row groups"
    ascending = len(listed) < 2 or bool(pc.all(pc.less(listed[:-1], listed[1:])).as_py())
    return "" if ascending else "it is not in the order of the ids"


def _tell_repeated(accounts: Accounts, parts: Sequence[PartFacts], ids: pa.Array, finished: bool) -> None:
    """Units that are in two parts: with other content always a fault, else what a kill may leave."""
    digests = pa.concat_arrays([part.digests for part in parts])
    order = pc.sort_indices(ids)
    ids, digests = ids.take(order), digests.take(order)
    repeated = pc.equal(ids[:-1], ids[1:])
    conflicting = pc.and_(repeated, pc.not_equal(digests[:-1], digests[1:]))
    units, conflicts = ids[1:].filter(repeated), ids[1:].filter(conflicting)
    if len(conflicts):
        remedy = "delete the file that is wrong, and run the job again"
        accounts.findings.append(Finding(location.DATA, _units(conflicts, "twice, with other content"), remedy))
    elif finished:
        accounts.findings.append(Finding(location.DATA, _units(units, "twice, with the same content"), RUN_AGAIN))
    else:
        accounts.notes.append(f"{_units(units, 'twice, after a kill')}; the next run drops what is too many")


def _repeated(ids: pa.Array) -> pa.Array:
    counts = ids.value_counts()
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def _inside(ids: pa.Array, others: pa.Array) -> pa.Array:
    return ids.filter(pc.is_in(ids, value_set=others))


def _outside(ids: pa.Array, others: pa.Array) -> pa.Array:
    return ids.filter(pc.invert(pc.is_in(ids, value_set=others)))


def _units(ids: pa.Array, what: str) -> str:
    return f"{len(ids):,} unit(s) {what}, such as {as_text(ids[:1])[0]!r}"
