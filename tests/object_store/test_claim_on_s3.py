"""Claims on a store in a bucket, which knows no locks."""

import threading
import time
from typing import Any

import pytest

from pipeline.claim import Claim, ClaimError, ClaimLostError, Timing, claimed, read_holder
from pipeline.holder import Holder
from pipeline.store import location

QUICK = Timing(refresh_seconds=0.2, stale_seconds=5, watch_seconds=0.2, settle_seconds=0.5, tick_seconds=0.05)


def elsewhere() -> Holder:
    return Holder.this_process().model_copy(update={"host": "far", "process_space": "another boot"})


def test_a_claim_on_a_bucket_is_held_refreshed_and_released(bucket: Any) -> None:
    store = f"{bucket.uri}/store"
    with claimed(store, timing=QUICK) as claim:
        first = read_holder(store)
        assert first is not None
        with pytest.raises(ClaimError, match=rf"output: {store} is being written by process {first.pid} on "):
            Claim.take(store, timing=QUICK)
        limit = time.monotonic() + 30
        while read_holder(store) == first and time.monotonic() < limit:
            time.sleep(0.05)
        assert read_holder(store) != first
        claim.check()
    assert read_holder(store) is None


def test_a_dead_holder_is_taken_over(bucket: Any) -> None:
    mine = Holder.this_process()
    dead = mine.model_copy(update={"process_started": (mine.process_started or 0) - 1})
    bucket.write(f"store/{location.CLAIM}", dead.model_dump_json().encode())
    with claimed(f"{bucket.uri}/store", timing=QUICK):
        pass


def test_of_two_at_the_same_instant_the_last_writer_goes_on(bucket: Any) -> None:
    patient = Timing(settle_seconds=3.0)
    outcomes: list[str] = []

    def race() -> None:
        try:
            Claim.take(f"{bucket.uri}/store", timing=patient).release()
            outcomes.append("held")
        except ClaimError:
            outcomes.append("refused")

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(outcomes) == ["held", "refused", "refused", "refused"]


def test_who_was_taken_over_stops(bucket: Any) -> None:
    with pytest.raises(ClaimLostError, match=r"taken over by process .* on far"):
        _hold_while_robbed(bucket)
    holder = read_holder(f"{bucket.uri}/store")
    assert holder is not None
    assert holder.host == "far"


def _hold_while_robbed(bucket: Any) -> None:
    with claimed(f"{bucket.uri}/store", timing=QUICK):
        thief = elsewhere().model_dump_json().encode()
        for _ in range(100):  # a refresh under way may overwrite it once
            bucket.write(f"store/{location.CLAIM}", thief)
            time.sleep(0.5)
