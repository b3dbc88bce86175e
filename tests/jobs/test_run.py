"""Runs that meet other runs, damaged files and signals."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jobs.run import run_job
from pipeline.claim import ClaimLostError, Timing, _folder_lock
from pipeline.holder import Holder
from pipeline.progress import Silent
from pipeline.store import LatentStore, location
from tests.jobs.command import finished, latentmill, parts_of, run_command, started, wait_for
from tests.jobs.stores import make_mels, mel_job, run_in_a_loop


def state_of(store: Path) -> str:
    return str(json.loads((store / "manifest.json").read_text())["state"])


def descendants(pid: int) -> set[int]:
    """All that a process started and that is still there, and what those started."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found, waiting = set[int](), [pid]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found.update(mine)
        waiting += mine
    return found


def still_there(pids: set[int]) -> set[int]:
    """Those that do not end within half a minute."""
    limit = time.monotonic() + 30
    while pids and time.monotonic() < limit:
        pids = {pid for pid in pids if _lives(pid)}
        time.sleep(0.05)
    return pids


def _lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.slow
def test_two_drivers_on_one_store(clips: Path, tmp_path: Path, expected: str | None) -> None:
    store, command = tmp_path / "store", run_command(clips, tmp_path / "store")
    first = started(command)
    wait_for(first, "starting the actors")
    first.send_signal(signal.SIGSTOP)  # alive, and not done before the second has looked
    second = finished(command)
    assert second.returncode == 2
    assert f"output: {store} is being written by process {first.pid} on " in second.stderr
    assert " since 20" in second.stderr
    assert "Wait for it, or stop it and run the same again" in second.stderr
    assert f"held by  process {first.pid} on " in latentmill("status", store).stdout
    first.send_signal(signal.SIGCONT)
    said, _ = first.communicate(timeout=240)
    assert first.returncode == 0, said
    assert LatentStore(store).manifest.content_digest == expected
    assert not (store / location.CLAIM).exists()
    assert "held by" not in latentmill("status", store).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "number", "signals"),
    [
        ("listing the source", signal.SIGINT, 1),
        ("starting Ray", signal.SIGTERM, 1),
        ("starting the actors", signal.SIGINT, 2),
        ("running", signal.SIGTERM, 2),
        ("running", signal.SIGINT, 1),
        ("checking that every unit", signal.SIGTERM, 1),
    ],
)
def test_a_signal_at_any_time_leaves_a_store_to_go_on_with(
    clips: Path, tmp_path: Path, expected: str | None, phase: str, number: signal.Signals, signals: int
) -> None:
    store, command = tmp_path / "store", run_command(clips, tmp_path / "store")
    process = started(command)
    wait_for(process, phase)
    children = descendants(process.pid)
    for _ in range(signals):
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        time.sleep(0.1)
        children |= descendants(process.pid)
    said, _ = process.communicate(timeout=120)
    if phase.startswith("checking") and state_of(store) == "complete":
        assert process.returncode in (0, 130, -number)  # the signal came when all was done, or after the last word
    else:
        assert process.returncode == 130, said
        assert "interrupted; everything committed is kept. To go on:\n  latentmill run encode_audio --set=" in said
        assert not (store / "manifest.json").exists() or state_of(store) == "interrupted"
    assert not still_there(children)
    assert not (store / location.CLAIM).exists()
    done = finished(command)
    assert done.returncode == 0, done.stderr
    assert LatentStore(store).manifest.content_digest == expected


@pytest.mark.usefixtures("local_ray")
def test_a_run_that_lost_its_claim_stops_and_touches_nothing(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Timing(refresh_seconds=0.05, tick_seconds=0.01)
    monkeypatch.setattr("pipeline.claim.Timing", lambda: quick)
    thief = Holder.this_process().model_copy(update={"host": "far", "process_space": "another boot"})

    class Robbed(Silent):
        def phase(self, what: str, detail: str = "") -> None:  # noqa: ARG002
            if what.startswith("starting the actors"):
                with _folder_lock(str(tmp_path / "store")):
                    (tmp_path / "store" / location.CLAIM).write_text(thief.model_dump_json())

    with pytest.raises(ClaimLostError, match=r"lost its claim on the store: it was taken over by process .* on far"):
        run_job(mel_job(clips, tmp_path / "store"), Robbed())
    assert state_of(tmp_path / "store") == "running"  # it is the new holder's to change
    assert Holder.model_validate_json((tmp_path / "store" / location.CLAIM).read_text()) == thief


@pytest.mark.parametrize("how", ["cut", "emptied", "zeros"])
def test_damaged_parts_are_set_aside_and_their_units_made_anew(make_clips: Any, tmp_path: Path, how: str) -> None:
    folder, store = make_clips(6), tmp_path / "store"
    (folder / "broken.wav").write_text("no recording")
    first = make_mels(folder, store)
    part, (quarantined,) = parts_of(store)[0], (store / "quarantine").glob("*.parquet")
    for path in (part, quarantined):
        whole = path.read_bytes()
        path.write_bytes({"cut": whole[:-20], "emptied": b"", "zeros": whole[:-20] + bytes(20)}[how])
    (store / "data" / f".{part.name}.0123456789ab.tmp").write_bytes(b"half of a part")
    notes: list[str] = []

    class Noting(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    second = run_in_a_loop(mel_job(folder, store), progress=Noting())
    assert second.manifest.state == "complete"
    assert second.num_new > 0
    assert second.manifest.content_digest == first.manifest.content_digest
    assert second.manifest.totals.num_quarantined == 1
    assert sum("its units are made anew" in note for note in notes) == 2
    assert part.with_name(part.name + ".damaged").exists()
    assert make_mels(folder, store).num_new == 0


def test_an_error_on_the_way_leaves_no_claim_and_says_interrupted(clips: Path, tmp_path: Path) -> None:
    class Failing(Silent):
        def phase(self, what: str, detail: str = "") -> None:  # noqa: ARG002
            if what.startswith("starting the actors"):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_in_a_loop(mel_job(clips, tmp_path / "store"), progress=Failing())
    assert state_of(tmp_path / "store") == "interrupted"
    assert not (tmp_path / "store" / location.CLAIM).exists()


def test_a_refused_job_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        run_job(mel_job(tmp_path / "nowhere", tmp_path / "store"))
    assert not list(tmp_path.iterdir())
