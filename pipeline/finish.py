"""The end of a job: proof that nothing is missing or there twice, then the index, the statistics and the digest."""

from pipeline.pending import find_done, in_both
from pipeline.planned import Plan
from pipeline.quarantine import quarantined_ids, release
from pipeline.store.digest import content_digest
from pipeline.store.duplicates import drop_duplicates
from pipeline.store.index import digests_of, list_parts, locate_units, write_index
from pipeline.store.manifest import Manifest, Totals, save_manifest
from pipeline.store.reader import LatentStore


class IncompleteStoreError(RuntimeError):
    """A store is not what its plan says."""


def finish(store: str, plan: Plan, manifest: Manifest) -> Manifest:
    """Checks that plan = store + quarantine, each unit exactly once, and completes the store's manifest.

    Raises:
        IncompleteStoreError: it is not so; the message names some of the units.
    """
    units = locate_units(store)
    if len(units.repeated()):
        drop_duplicates(store)
        units = locate_units(store)
    write_index(store, units)
    release(store, in_both(quarantined_ids(store), units.ids))
    done = find_done(store, plan)
    missing, unplanned = plan.filter(~done.of(plan)), done.outside(plan)
    problems = []
    if missing.num_rows:
        example = missing.slice(0, 1)["sample_id"][0].as_py()
        problems.append(f"{missing.num_rows:,} unit(s) of the plan are missing, such as {example!r}")
    if len(unplanned):
        problems.append(f"{len(unplanned):,} unit(s) are not in the plan, such as {unplanned[0].as_py()!r}")
    if problems:
        raise IncompleteStoreError(
            f"{store}: {' and '.join(problems)}; run the job again, or `latentmill plan` to see why"
        )
    parts = list_parts(store)
    finished = manifest.revise(
        state="complete",
        totals=Totals(
            num_units=len(units),
            num_quarantined=len(done.quarantined),
            num_parts=len(parts),
            num_bytes=sum(parts.values()),
            audio_seconds=plan.filter(~plan.named(done.quarantined)).audio_seconds,
        ),
        statistics=LatentStore(store).statistics.model_dump(mode="json"),
        content_digest=content_digest(units.ids, digests_of(store, units)),
    )
    save_manifest(store, finished)
    return finished
