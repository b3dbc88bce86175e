"""The end of a job: proof that nothing is missing or there twice, then the index, the statistics and the digest."""

import math

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.quarantine import quarantined_ids, release
from pipeline.store.digest import content_digest
from pipeline.store.duplicates import drop_duplicates
from pipeline.store.index import build_index, committed_digests, list_parts
from pipeline.store.manifest import Manifest, Totals, save_manifest
from pipeline.store.reader import LatentStore


class IncompleteStoreError(RuntimeError):
    """A store is not what its plan says."""


def finish(store: str, plan: pa.Table, manifest: Manifest) -> Manifest:
    """Checks that plan = store + quarantine, each unit exactly once, and completes the store's manifest.

    Raises:
        IncompleteStoreError: it is not so; the message names some of the units.
    """
    drop_duplicates(store)
    build_index(store)
    ids, digests = committed_digests(store)
    release(store, _in_both(quarantined_ids(store), ids))
    quarantined = quarantined_ids(store)
    planned = plan["sample_id"].cast(pa.large_string())
    there = pa.concat_arrays([ids, quarantined])
    missing = planned.filter(pc.invert(pc.is_in(planned, value_set=there)))
    unplanned = there.filter(pc.invert(pc.is_in(there, value_set=planned)))
    problems = [
        f"{len(units):,} unit(s) {what}, such as {units[0].as_py()!r}"
        for units, what in ((missing, "of the plan are missing"), (unplanned, "are not in the plan"))
        if len(units)
    ]
    if problems:
        raise IncompleteStoreError(
            f"{store}: {' and '.join(problems)}; run the job again, or `latentmill plan` to see why"
        )
    stored = plan.filter(pc.is_in(planned, value_set=ids))
    parts = list_parts(store)
    finished = manifest.revise(
        state="complete",
        totals=Totals(
            num_units=len(ids),
            num_quarantined=len(quarantined),
            num_parts=len(parts),
            num_bytes=sum(parts.values()),
            audio_seconds=math.fsum(stored["duration_seconds"].to_pylist()),
        ),
        statistics=LatentStore(store).statistics.model_dump(mode="json"),
        content_digest=content_digest(ids, digests),
    )
    save_manifest(store, finished)
    return finished


def _in_both(first: pa.Array, second: pa.Array) -> list[str]:
    shared: list[str] = first.filter(pc.is_in(first, value_set=second)).to_pylist()
    return shared
