"""Signals stop what runs, say how to go on, and leave no process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import subprocess, sys, time
import typer
from jobs import interrupt
how = sys.argv[1]
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
if how != "in order":
    interrupt.STOP_SECONDS = 0.3
try:
    with interrupt.interruptible("latentmill run x"):
        try:
            print(child.pid, flush=True)
            if how == "deaf":
                # a library that waits with the signals held back, as some do that start processes
                import ctypes
                ctypes.PyDLL(None).sleep(600)
                ctypes.PyDLL(None).sleep(600)
            time.sleep(600)
        finally:
            if how == "stuck":
                while True:
                    pass
            time.sleep(1)
            child.kill()
            print("stopped in order", flush=True)
except typer.Exit as error:
    sys.exit(error.exit_code)
"""


def start(how: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, how], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_break_off_the_stopping(number: signal.Signals) -> None:
    process, _ = start("in order")
    for pause in (0.3, 0.3, 0.0):
        process.send_signal(number)
        time.sleep(pause)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed == "stopped in order\ninterrupted; everything committed is kept. To go on:\n  latentmill run x\n"


@pytest.mark.parametrize("how", ["stuck", "deaf"])
def test_what_hangs_while_stopping_is_killed_with_all_it_started(how: str) -> None:
    process, child = start(how)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "To go on:\n  latentmill run x" in printed
    limit = time.monotonic() + 20
    while is_there(child) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not is_there(child)


def is_there(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_handlers_are_as_they_were_afterwards() -> None:
    from jobs.interrupt import interruptible

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    descriptors = len(os.listdir("/proc/self/fd"))
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
