"""Claims on a store: one holder at a time, dead ones taken over, lost ones noticed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.claim import Claim, ClaimError, ClaimLostError, Timing, _folder_lock, claimed, read_holder
from pipeline.holder import Holder
from pipeline.store import location

QUICK = Timing(refresh_seconds=0.05, stale_seconds=0.6, watch_seconds=0.2, settle_seconds=0.05, tick_seconds=0.01)
HOLD = """
import sys, time
from pipeline.claim import ClaimError, claimed
print("ready", flush=True)
start = float(sys.stdin.readline())
time.sleep(max(0.0, start - time.time()))
try:
    with claimed(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.read()
except ClaimError as error:
    print(f"refused {error}", flush=True)
"""


def racers(store: Path, count: int) -> list[subprocess.Popen[str]]:
    """Processes that are about to claim the store, and then hold it until they are told to end."""
    command = [sys.executable, "-c", HOLD, str(store)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    assert [said(process) for process in started] == ["ready"] * count
    return started


def go(process: subprocess.Popen[str], start: float = 0.0) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{start}\n")
    process.stdin.flush()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds `tmp_path / "store"`."""
    [process] = racers(tmp_path / "store", 1)
    go(process)
    assert said(process) == "held"
    yield process
    process.kill()
    process.communicate()


def hold_while(store: Path, act: Callable[[], object], timing: Timing = QUICK) -> None:
    """Holds the store, lets something happen, and would then go on for long."""
    with claimed(str(store), timing=timing) as claim:
        claim.check()
        act()
        time.sleep(60)
    pytest.fail("nothing stopped it")


def write(store: Path, holder: Holder) -> None:
    store.mkdir(exist_ok=True)
    with _folder_lock(str(store)):
        (store / location.CLAIM).write_text(holder.model_dump_json())


def elsewhere(*, silent_seconds: float = 0.0) -> Holder:
    """A holder on another machine that was last heard of a while ago."""
    seen = datetime.now(UTC) - timedelta(seconds=silent_seconds)
    return Holder.this_process().model_copy(
        update={"host": "far", "process_space": "another boot pid:[1]", "refreshed": seen, "token": "f" * 32}
    )


def test_a_claim_is_there_while_it_is_held_and_gone_after(tmp_path: Path) -> None:
    with claimed(str(tmp_path / "a" / "store")):
        holder = read_holder(str(tmp_path / "a" / "store"))
        assert holder is not None
        assert (holder.pid, holder.lives()) == (os.getpid(), True)
        assert json.loads((tmp_path / "a" / "store" / location.CLAIM).read_text())["user"]
    assert not list(tmp_path.iterdir())  # nothing was written, so not even its folder stays


def test_what_was_there_and_what_was_written_stays(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        hold_while(tmp_path, lambda: [(tmp_path / "data").mkdir(), (tmp_path / "data").mkdir()])
    assert os.listdir(tmp_path) == ["data"]


def test_the_second_is_refused_with_who_holds_it_since_when(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    store = str(tmp_path / "store")
    with pytest.raises(ClaimError, match=rf"process {other.pid} on .* since 20\d\d-.* started as `-c .*Wait for it"):
        Claim.take(store)
    holder = read_holder(store)
    assert holder is not None
    assert holder.pid == other.pid


def test_the_same_process_cannot_claim_twice(tmp_path: Path) -> None:
    with claimed(str(tmp_path)), pytest.raises(ClaimError, match=f"process {os.getpid()} on"), claimed(str(tmp_path)):
        pass


def test_a_killed_holder_is_taken_over_at_once(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    with claimed(str(tmp_path / "store")):
        holder = read_holder(str(tmp_path / "store"))
        assert holder is not None
        assert holder.pid == os.getpid()


def test_a_zombie_is_dead(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    while "\nState:\tZ" not in Path(f"/proc/{other.pid}/status").read_text():
        time.sleep(0.01)
    with claimed(str(tmp_path / "store")):
        pass


def test_another_process_with_the_number_of_a_dead_one_is_not_its_holder(tmp_path: Path) -> None:
    mine = Holder.this_process()
    write(tmp_path, mine.model_copy(update={"process_started": (mine.process_started or 0) - 1}))
    with claimed(str(tmp_path)):
        pass


def test_a_holder_elsewhere_that_was_heard_of_lately_is_respected(tmp_path: Path) -> None:
    write(tmp_path, elsewhere(silent_seconds=60))
    with pytest.raises(ClaimError, match="on far"):
        Claim.take(str(tmp_path))


@pytest.mark.parametrize("silent_seconds", [3600, -3600])
def test_a_holder_elsewhere_that_stays_silent_is_taken_over(tmp_path: Path, silent_seconds: float) -> None:
    write(tmp_path, elsewhere(silent_seconds=silent_seconds))
    waits: list[str] = []
    Claim.take(str(tmp_path), timing=QUICK, on_wait=waits.append).release()
    assert len(waits) == 1
    assert waits[0].startswith("watching whether process")


def test_a_holder_elsewhere_whose_clock_is_wrong_is_seen_to_live(tmp_path: Path) -> None:
    holder = elsewhere(silent_seconds=3600)
    write(tmp_path, holder)
    later = holder.model_copy(update={"refreshed": holder.refreshed + timedelta(seconds=20)})
    with pytest.raises(ClaimError, match="on far"):
        Claim.take(str(tmp_path), timing=QUICK, on_wait=lambda _: write(tmp_path, later))


def test_of_many_at_the_same_instant_exactly_one_goes_on(tmp_path: Path) -> None:
    for leftover in (False, True):
        store = tmp_path / f"store-{leftover}"
        if leftover:  # a dead one's claim, which all of them may take over
            write(store, Holder.this_process().model_copy(update={"process_started": 1}))
        running = racers(store, 6)
        start = time.time() + 0.5
        for one in running:
            go(one, start)
        outcomes = [said(one) for one in running]
        for one in running:
            one.communicate()
        assert sum(text == "held" for text in outcomes) == 1, outcomes
        assert sum(text.startswith("refused output: ") for text in outcomes) == 5


def test_where_folders_cannot_be_locked_the_last_writer_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.claim._lock", lambda _: None)
    claim = Claim.take(str(tmp_path), timing=QUICK)
    with pytest.raises(ClaimError, match="is being written by"):
        Claim.take(str(tmp_path), timing=QUICK)
    claim.release()
    slow = Timing(settle_seconds=1.0)
    overwriting = threading.Timer(0.3, lambda: write(tmp_path, elsewhere()))
    overwriting.start()
    with pytest.raises(ClaimError, match="on far"):
        Claim.take(str(tmp_path), timing=slow)
    overwriting.join()


def test_a_claim_is_refreshed(tmp_path: Path) -> None:
    with claimed(str(tmp_path), timing=QUICK):
        seen = set()
        limit = time.monotonic() + 20
        while len(seen) < 3 and time.monotonic() < limit:
            holder = read_holder(str(tmp_path))
            assert holder is not None
            seen.add(holder.refreshed)
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("happens", "told"), [("taken", "taken over by process .* on far"), ("removed", r"claim\.json is gone")]
)
def test_who_lost_his_claim_is_interrupted(tmp_path: Path, happens: str, told: str) -> None:
    def lose() -> None:
        if happens == "taken":
            write(tmp_path, elsewhere())
            return
        with _folder_lock(str(tmp_path)):
            (tmp_path / location.CLAIM).unlink()

    with pytest.raises(ClaimLostError, match=told):
        hold_while(tmp_path, lose)
    assert (tmp_path / location.CLAIM).exists() == (happens == "taken")  # the new holder's is left alone


def test_a_claim_that_cannot_be_refreshed_is_given_up_before_others_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space")

    with pytest.raises(ClaimLostError, match=r"could not be refreshed .*no space"):
        hold_while(tmp_path, lambda: monkeypatch.setattr("pipeline.claim._write", fail))


def test_a_machine_that_slept_looks_at_its_claim_as_soon_as_it_wakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time

    def sleep_for_an_hour() -> None:
        write(tmp_path, elsewhere())
        monkeypatch.setattr("pipeline.claim.time.time", lambda: now() + 3600)

    with pytest.raises(ClaimLostError, match="taken over"):
        hold_while(tmp_path, sleep_for_an_hour, Timing(refresh_seconds=300, tick_seconds=0.01))


def test_a_ctrl_c_of_the_user_stays_one(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), claimed(str(tmp_path)):
        raise KeyboardInterrupt
    assert not (tmp_path / location.CLAIM).exists()


def test_somebody_elses_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / location.CLAIM).write_text("mine")
    with pytest.raises(
        ValueError, match=r"claim\.json is no claim of latentmill; if no run is going on there, delete it"
    ):
        Claim.take(str(tmp_path))
    assert (tmp_path / location.CLAIM).read_text() == "mine"
