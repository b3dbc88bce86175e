"""Faults in a child process: each real, and each costs the one item that commits it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workers.guarded.guard import Guard, GuardError
from workers.guarded.limits import GuardLimits
from workers.guarded.outcome import Died, Placed, Raised, Value

PATIENT = GuardLimits(seconds=60, memory_gib=0.25)
HASTY = GuardLimits(seconds=1, memory_gib=0.25)
FAULTY = Path(__file__).parents[2] / "faults"
ON_LINUX = sys.platform == "linux"


@pytest.fixture(autouse=True)
def _faulty_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FAULTY)


@pytest.fixture
def guard() -> Iterator[Guard]:
    with Guard(PATIENT) as guard:
        yield guard


def value(number: float) -> Value:
    return Value(np.full((1, 3), number, np.float32))


def check_neighbours(outcomes: list[Any], guilty: int) -> None:
    for index, outcome in enumerate(outcomes):
        if index != guilty:
            np.testing.assert_array_equal(outcome.value, value(index).value)


FAULTS = {
    "segfault": ("crash", r"kills its process by SIGSEGV \(Segmentation fault\)"),
    "abort": ("crash", r"kills its process by SIGABRT"),
    "exit 0": ("crash", r"ends its process with exit code 0"),
    "exit 5": ("crash", r"ends its process with exit code 5"),
    "sys.exit": ("crash", r"ends its process with exit code 3"),
    "kill": ("crash", r"killed by SIGKILL"),
    "loop": ("timeout", r"takes longer than 1 s"),
    "sleep": ("timeout", r"takes longer than 1 s"),
    "masked": ("timeout", r"takes longer than 1 s"),
    "numpy": ("crash", r"needs more than 0\.25 GiB of memory"),
    "hoard": ("crash", r"needs more than 0\.25 GiB of memory"),
    "malloc": ("crash", r"by SIGSEGV"),
}


def in_each_position(fault: str) -> list[Any]:
    """At the beginning, within and at the end of the items; two of the faults that are waited for need not be each."""
    waited_for = fault in ("sleep", "masked")
    return [pytest.param(fault, at, marks=[pytest.mark.slow] * (waited_for and at != 2)) for at in (0, 2, 4)]


@pytest.mark.parametrize(("fault", "position"), [case for fault in FAULTS for case in in_each_position(fault)])
def test_a_fault_costs_the_item_that_commits_it(fault: str, position: int) -> None:
    if fault in ("numpy", "hoard", "malloc") and not ON_LINUX:
        pytest.skip("memory is limited on Linux only")
    kind, reason = FAULTS[fault]
    items: list[Any] = [0, 1, 2, 3, 4]
    items[position] = fault
    with Guard(HASTY if kind == "timeout" else PATIENT) as guard:
        outcomes = guard.each("faulty:obey", items)
    died = outcomes[position]
    assert isinstance(died, Died)
    assert died.kind == kind
    assert died.error_type == ("MemoryError" if "GiB" in reason else kind)
    assert died.killed_from_outside == (fault == "kill")
    with pytest.raises(ValueError, match=reason):
        raise ValueError(died.reason)
    check_neighbours(outcomes, position)


def test_every_item_may_be_guilty(guard: Guard) -> None:
    outcomes = guard.each("faulty:obey", ["segfault", "exit 4", 2, "abort"])
    assert [isinstance(outcome, Died) for outcome in outcomes] == [True, True, False, True]


def test_the_suspect_gets_a_second_try_alone_in_a_new_child(guard: Guard, tmp_path: Path) -> None:
    log = tmp_path / "log"
    once = f"once {tmp_path / 'died'}"
    outcomes = guard.each("faulty:obey", [0, once, 2, 3], log=str(log))
    assert outcomes[1] == Value("lived")
    check_neighbours(outcomes, 1)
    tries = [line.rsplit(" ", 2) for line in log.read_text().splitlines()]
    assert [item for item, *_ in tries] == ["0", once, "0", once, "2", "3"]  # 0 was not sent yet
    pids = [pid for _, pid, _ in tries]
    assert pids[0] == pids[1] != pids[2] == pids[3] == pids[4] == pids[5]


def test_what_was_sent_is_not_made_again(guard: Guard, tmp_path: Path) -> None:
    log = tmp_path / "log"
    outcomes = guard.each("faulty:obey", ["pause 0.1", 1, "pause 0.1", 3, "exit 2", 5], log=str(log))
    assert isinstance(outcomes[4], Died)
    items = [line.rsplit(" ", 2)[0] for line in log.read_text().splitlines()]
    assert items == ["pause 0.1", "1", "pause 0.1", "3", "exit 2", "3", "exit 2", "5"]


def test_exceptions_are_answers_and_kill_nobody(guard: Guard, tmp_path: Path) -> None:
    log = tmp_path / "log"
    outcomes = guard.each("faulty:obey", ["give it\t is bad", 1, "raise no\tgood", "raise again", 4], log=str(log))
    assert outcomes[0] == Raised("ValueError", "it is bad")
    assert outcomes[2:4] == [Raised("ValueError", "no good"), Raised("ValueError", "again")]
    np.testing.assert_array_equal(outcomes[4].value, value(4).value)
    assert len({line.split()[-2] for line in log.read_text().splitlines()}) == 1


def test_the_time_limit_is_for_each_item() -> None:
    with Guard(HASTY) as guard:
        assert guard.each("faulty:obey", ["pause 0.4"] * 5) == [Value("pause 0.4")] * 5
        time.sleep(1.5)  # and none runs while there is nothing to do
        assert guard.each("faulty:obey", ["pause 0.4"]) == [Value("pause 0.4")]


def test_a_child_that_cannot_end_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.guarded.guard.GRACE_SECONDS", 0.3)
    with Guard(HASTY) as guard:
        outcomes = guard.each("faulty:obey", ["stop", 1])
    assert outcomes[0] == Died("timeout", "timeout", "takes longer than 1 s")
    check_neighbours(outcomes, 0)


def test_arrays_go_to_their_rows(guard: Guard) -> None:
    memory, array = guard.rows((5, 1, 3))
    outcomes = guard.each("faulty:obey", [7, "segfault", "wide", "long", 8], rows=memory, slots=[4, 1, 0, 2, 3])
    assert outcomes[0] == outcomes[4] == Placed((1, 3), True)
    assert isinstance(outcomes[1], Died)
    assert outcomes[2:4] == [Placed((2, 3), False), Placed((1, 4), False)]
    np.testing.assert_array_equal(array[[3, 4], 0], [[8, 8, 8], [7, 7, 7]])


def test_shorter_arrays_have_zeros_behind_them(guard: Guard) -> None:
    for number in (9, 8):  # the second time in memory that was used before
        memory, array = guard.rows((2, 1, 5))
        guard.each("faulty:obey", [number], rows=memory, slots=[1])
        np.testing.assert_array_equal(array[1, 0], [number, number, number, 0, 0])
        array[:] = 99
        del array


def test_rows_are_used_again_when_nobody_refers_to_them(guard: Guard) -> None:
    first, array = guard.rows((4, 1, 3))
    view = array[:1]
    second, other = guard.rows((1, 1, 3))
    assert second is not first
    del array
    third, _ = guard.rows((1, 1, 3))
    assert third is not first
    guard.each("faulty:obey", [5], rows=second, slots=[0])
    assert not view.any()
    del view
    fourth, again = guard.rows((2, 1, 3))
    assert fourth is first
    guard.each("faulty:obey", [1, 2], rows=fourth)
    np.testing.assert_array_equal(again[:, 0, 0], [1, 2])
    np.testing.assert_array_equal(other, np.full((1, 1, 3), 5))
    del again, other, fourth
    larger, _ = guard.rows((100, 1, 3))
    assert larger not in (first, second, third)


def test_a_child_that_died_between_calls_blames_nobody(guard: Guard, tmp_path: Path) -> None:
    log = tmp_path / "log"
    guard.each("faulty:obey", [0], log=str(log))
    pid = int(log.read_text().split()[1])
    os.kill(pid, signal.SIGKILL)
    check_neighbours(guard.each("faulty:obey", [0, 1], log=str(log)), -1)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["0", "0", "1"]


def test_a_child_without_its_parent_is_gone_even_if_it_is_busy(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(FAULTY)!r})\n"
        "from workers.guarded.guard import Guard\n"
        "from workers.guarded.limits import GuardLimits\n"
        f"Guard(GuardLimits(seconds=100)).each('faulty:obey', ['loop'], log={str(log)!r})\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
    finally:
        parent.kill()
        parent.wait()
    pid = int(log.read_text().split()[1])
    wait_until(lambda: not is_alive(pid))


def test_a_function_that_is_not_there_is_nobodys_fault(guard: Guard) -> None:
    with pytest.raises(GuardError, match="faulty:nothing cannot be imported: AttributeError"):
        guard.each("faulty:nothing", [1])
    assert isinstance(guard.each("faulty:obey", [1])[0], Value)


def test_a_child_that_does_not_start_is_nobodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        Guard(PATIENT) as guard,
        pytest.raises(GuardError, match="does not start: it ends its process with exit code 1"),
    ):
        guard.each("faulty:obey", [1])


def test_closing_ends_the_child(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Guard(PATIENT) as guard:
        guard.each("faulty:obey", [1], log=str(log))
    assert not is_alive(int(log.read_text().split()[1]))
    with pytest.raises(GuardError, match="closed"):
        guard.each("faulty:obey", [1])


@pytest.mark.skipif(not ON_LINUX, reason="memory is limited on Linux only")
def test_limits_of_the_child(guard: Guard) -> None:
    core, data = (outcome.value for outcome in guard.each("faulty:limits", ["RLIMIT_CORE", "RLIMIT_DATA"]))
    assert core == (0, 0)
    assert 0.25 * 2**30 < data[0] < 0.75 * 2**30


def test_a_child_is_light(guard: Guard) -> None:
    [outcome] = guard.each("faulty:modules", [None])
    assert not {"torch", "ray", "pandas", "diffusers"} & set(outcome.value)
    assert {"soundfile", "av", "soxr"} <= set(outcome.value)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if ON_LINUX:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "never"
        time.sleep(0.02)
