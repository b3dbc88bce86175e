"""Proof that a store is what was written: every file by its checksum, every row by its digest, every unit accounted."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from time import monotonic
from typing import Any

import pyarrow as pa

from jobs.identity import identity
from jobs.prepare import PROBES
from jobs.recompute import Recomputation, Remaker, recompute, sample_ids
from jobs.recorded import is_store, recorded_facts, recorded_job
from jobs.spec_error import SpecError
from pipeline.progress import Progress, Silent
from pipeline.saved_plan import UNITS
from pipeline.store import location
from pipeline.store.accounts import REBUILD_INDEX, Accounts, check_index, take_accounts
from pipeline.store.digest import content_digest
from pipeline.store.duplicates import ConflictingUnitsError
from pipeline.store.index import list_parts
from pipeline.store.inspection import FileFacts, Finding, PartFacts, inspect_part, inspect_table
from pipeline.store.manifest import Manifest, check_manifest_seal, load_manifest
from pipeline.store.part import DamagedPartError
from pipeline.store.schema import SAMPLE_ID
from pipeline.store.statistics import merge_sums, statistics_of
from pipeline.store.strays import find_strays

THREADS = 4
"""Parts that are in memory at a time."""
REMAKE_PLAN = (
    f"delete the folder {location.PLAN}/ and run the job again, which derives it anew (if recordings may have changed"
    " since, which only the old plan could tell, verify with --recompute 1 then)"
)
REMAKE_QUARANTINE = "delete it and run the job again, which tries its units again"
REMAKE_MANIFEST = "restore it from a copy, or delete it and run the job again, which begins it anew around the data"


@dataclass(slots=True, kw_only=True)
class Verification:
    """What was checked, and what was found."""

    store: str
    kind: str = ""
    state: str = ""
    num_files: int = 0
    num_bytes: int = 0
    num_unsealed: int = 0
    """Files without a checksum of their own: those that earlier versions wrote."""
    num_rows: int = 0
    """Rows whose digest was recomputed."""
    accounts: Accounts = field(default_factory=Accounts)
    content_digest: str | None = None
    """Of the rows as they are now; None if a part cannot be read."""
    recomputation: Recomputation | None = None
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def finished(self) -> bool:
        """Whether the manifest says that the job is complete."""
        return self.state == "complete"

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "accounts"}
        counts = {name: getattr(self.accounts, name) for name in self.accounts.__dataclass_fields__ if "num_" in name}
        return {
            **values,
            **counts,
            "sound": self.sound,
            "findings": [asdict(finding) for finding in self.findings],
            "recomputation": self.recomputation.as_json() if self.recomputation else None,
        }


def verify_store(
    store: str, progress: Progress | None = None, *, fraction: float | None = None, seed: int = 0
) -> Verification:
    """Checks everything about a store that can be checked without its source; changes nothing.

    Args:
        store: A store, finished or not: an unfinished one is checked as far as it goes.
        progress: Hears how far it is.
        fraction: Also make this share of the units again and compare; needs the source and the model.
        seed: Of the choice of units to make again.

    Raises:
        SpecError: There is no store, its units cannot be made again here, or the fraction is none.
    """
    if fraction is not None and not 0 < fraction <= 1:
        raise SpecError(f"--recompute is {fraction:g}; give a fraction above 0 and at most 1, such as 0.01")
    if not is_store(store):
        raise SpecError(f"{store}: not a store (it has neither {location.MANIFEST} nor {location.DATA}/)")
    started, progress = monotonic(), progress or Silent()
    remaker = Remaker(store) if fraction is not None else None
    found = Verification(store=store)
    manifest = _check_manifest(found)
    _check_job(found, manifest)
    plan = _check_tables(found)
    parts = list(_check_parts(found, manifest, progress))
    quarantined = _check_quarantine(found)
    if plan is not None:
        incomplete = sum(part.incomplete for part in parts)
        found.accounts = take_accounts(plan, parts, quarantined, finished=found.finished, num_incomplete=incomplete)
        found.findings += found.accounts.findings
        found.notes += found.accounts.notes
    if found.finished and manifest is not None:
        _check_index(found, parts)
        _check_totals(found, manifest, parts)
    found.notes += find_strays(store)
    if remaker is not None and fraction is not None:
        there = pa.concat_arrays([part.ids for part in parts]).unique() if parts else pa.array([], pa.large_string())
        try:
            found.recomputation = recompute(remaker, sample_ids(there, fraction, seed), progress)
            found.findings += _told(found.recomputation, store)
        except (DamagedPartError, ConflictingUnitsError) as error:  # a finding already
            found.notes.append(f"no unit was made again, since the store cannot be read: {error}")
    found.seconds = monotonic() - started
    return found


def _check_manifest(found: Verification) -> Manifest | None:
    try:
        manifest = load_manifest(found.store)
        seal = check_manifest_seal(found.store)
    except FileNotFoundError:
        found.findings.append(Finding(location.MANIFEST, "is missing", REMAKE_MANIFEST))
        return None
    except (ValueError, OSError) as error:
        what = f"cannot be read: {str(error).splitlines()[0]}"
        found.findings.append(Finding(location.MANIFEST, what, REMAKE_MANIFEST))
        return None
    found.kind, found.state = manifest.kind, manifest.state
    found.num_files += 1
    if seal == "broken":
        what = "its bytes are not those that were written: the checksum differs"
        found.findings.append(Finding(location.MANIFEST, what, REMAKE_MANIFEST))
    found.num_unsealed += seal == "absent"
    return manifest


def _check_job(found: Verification, manifest: Manifest | None) -> None:
    remedy = "restore it from a copy"
    try:
        job = recorded_job(found.store)
        found.kind = found.kind or job.kind
        recomputed = identity(job, recorded_facts(manifest)) if manifest is not None else None
    except (SpecError, ValueError) as error:
        found.findings.append(Finding(location.JOB, str(error), remedy))
        return
    found.num_files += 1
    if manifest is None or recomputed == manifest.identity:
        return
    made_by = manifest.environment.get("latentmill", "?")
    what = f"describes another job than the manifest: identity {str(recomputed)[:16]}…, not {manifest.identity[:16]}…"
    if made_by == version("latentmill"):
        found.findings.append(Finding(location.JOB, what, remedy))
    else:
        found.notes.append(f"{location.JOB} {what}; it was written by version {made_by}, which may count otherwise")


def _check_tables(found: Verification) -> pa.Array | None:
    """The plan's files; the ids of the plan, or None if it cannot be read."""
    planned = None
    for name in (UNITS, PROBES):
        path = f"{location.PLAN}/{name}"
        if not location.exists(location.join(found.store, location.PLAN, name)):
            found.findings.append(Finding(path, "is missing", REMAKE_PLAN))
            continue
        facts = inspect_table(found.store, path, REMAKE_PLAN, [SAMPLE_ID] if name == UNITS else None)
        _count(found, facts)
        if name == UNITS and facts.table is not None:
            planned = _ids(facts.table)
    return planned


def _check_parts(found: Verification, manifest: Manifest | None, progress: Progress) -> Iterator[PartFacts]:
    sizes = list_parts(found.store)
    columns = manifest.columns if manifest is not None else None
    total = max(1, sum(sizes.values()))
    seen = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for facts in pool.map(lambda name: inspect_part(found.store, name, columns), sizes):
            seen += facts.num_bytes
            progress.phase(f"checking {len(sizes):,} file(s) and each of their rows", f"{seen / total:.0%}")
            _count(found, facts)
            found.num_rows += len(facts.ids)
            yield facts


def _check_quarantine(found: Verification) -> pa.Array:
    ids = []
    for name in location.list_files(location.join(found.store, location.QUARANTINE)):
        facts = inspect_table(found.store, f"{location.QUARANTINE}/{name}", REMAKE_QUARANTINE)
        _count(found, facts)
        if facts.table is not None and SAMPLE_ID in facts.table.column_names:
            ids.append(_ids(facts.table))
    return pa.concat_arrays(ids).unique() if ids else pa.array([], pa.large_string())


def _check_index(found: Verification, parts: list[PartFacts]) -> None:
    if not location.exists(location.join(found.store, location.INDEX)):
        found.findings.append(Finding(location.INDEX, "is missing", "run the job again, which writes it anew"))
        return
    facts = inspect_table(found.store, location.INDEX, REBUILD_INDEX)
    _count(found, facts)
    if facts.table is not None and not facts.findings and parts and not any(part.incomplete for part in parts):
        problem = check_index(facts.table, list_parts(found.store), parts)
        if problem:
            found.findings.append(Finding(location.INDEX, problem, REBUILD_INDEX))


def _check_totals(found: Verification, manifest: Manifest, parts: list[PartFacts]) -> None:
    """What the manifest of a finished store says against what is there."""
    if any(part.incomplete for part in parts) or any(part.findings for part in parts):
        return  # they differ, and why is said already
    ids = pa.concat_arrays([part.ids for part in parts]) if parts else pa.array([], pa.large_string())
    digests = pa.concat_arrays([part.digests for part in parts]) if parts else pa.array([], pa.binary(16))
    found.content_digest = content_digest(ids, digests)
    totals, accounts = manifest.totals, found.accounts
    statistics = statistics_of(merge_sums(part.sums for part in parts)).model_dump(mode="json")
    claims: list[tuple[str, object, object]] = [
        ("content digest", manifest.content_digest, found.content_digest),
        ("number of units", totals.num_units, len(ids)),
        ("number of quarantined units", totals.num_quarantined, accounts.num_quarantined),
        ("number of files", totals.num_parts, len(parts)),
        ("size in bytes", totals.num_bytes, sum(part.num_bytes for part in parts)),
    ]
    wrong = [f"{name} {claimed}, but there is {actual}" for name, claimed, actual in claims if claimed != actual]
    if manifest.statistics is not None and manifest.statistics != statistics:
        wrong.append("statistics that are not those of its rows")
    if wrong:
        remedy = (
            "files were added, removed or replaced since the job finished: put them back; or, if what is there now is"
            f" right, {REBUILD_INDEX.replace('it anew', 'both anew')}"
        )
        found.findings.append(Finding(location.MANIFEST, "says " + "; ".join(wrong), remedy))


def _told(result: Recomputation, store: str) -> list[Finding]:
    """Findings about units that were made again."""
    findings = []
    if result.different:
        worst = max((tensor.max_abs for tensor in result.difference.tensors.values()), default=0.0)
        what = (
            f"{len(result.different):,} of {result.num_units:,} units made again differ, by at most {worst:.3g},"
            f" such as {result.different[0]!r}"
        )
        if result.changed_sources:
            remedy = f"recordings were changed, such as {result.changed_sources[0]!r}: run the job again"
        elif result.environment:
            remedy = f"software or processor are others here ({', '.join(result.environment)}): make them again there"
        else:
            remedy = f"look closer with: latentmill replay {store} {result.different[0]!r}"
        findings.append(Finding(location.DATA, what, remedy))
    if result.failed:
        name, reason = result.failed[0]
        what = f"{len(result.failed):,} units cannot be made again, such as {name!r}: {reason}"
        findings.append(Finding(location.DATA, what, f"look closer with: latentmill replay {store} {name!r}"))
    return findings


def _count(found: Verification, facts: FileFacts) -> None:
    found.num_files += 1
    found.num_bytes += facts.num_bytes
    found.num_unsealed += facts.seal == "absent"
    found.findings += facts.findings


def _ids(table: pa.Table) -> pa.LargeStringArray:
    column = table.column(SAMPLE_ID).cast(pa.large_string())
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.large_string())
