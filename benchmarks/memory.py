"""Peak memory of the driver and the workers, and how it grows from 1,000 to 10,000 units.

Memory is what is resident and private to a process (RssAnon and RssFile of /proc/PID/status): the object store's shared
pages, which Ray bounds by itself, are left out. Sampled ten times a second. Each size runs in a process of its own.

Usage: python -m benchmarks.memory [--quick]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks.recordings import write_recordings
from benchmarks.report import Row, machine, print_table

UNITS_PER_FILE = 100
SECONDS_PER_UNIT = 0.64
SIZES = (1_000, 10_000)


def private_bytes(pid: str) -> int:
    """Resident bytes of a process that are not shared memory; 0 once it is gone."""
    try:
        lines = Path("/proc", pid, "status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssFile:")))


def workers() -> list[str]:
    """Processes that run Ray tasks and actors."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"ray::"):
                found.append(entry.name)
    return found


def run_one(source: Path, output: Path) -> dict[str, int]:
    """Runs a mel job in this process; gives the peaks in bytes of this process and of its largest worker."""
    from jobs.mel_job import MelJob
    from jobs.run import run_job

    peaks = {"driver": 0, "worker": 0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            peaks["driver"] = max(peaks["driver"], private_bytes("self"))
            peaks["worker"] = max([peaks["worker"], *(private_bytes(pid) for pid in workers())])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    run_job(
        MelJob.model_validate(
            {
                "source": {"path": str(source)},
                "output": str(output),
                "segment": {"length_seconds": SECONDS_PER_UNIT},
                "placement": {"units_per_block": 64},
            }
        )
    )
    done.set()
    watcher.join()
    return peaks


def main() -> None:
    """Runs each size and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the units")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(run_one(*arguments.child)))
        return
    rows: list[Row] = []
    peaks: dict[int, dict[str, int]] = {}
    for size in SIZES:
        units = size // 10 if arguments.quick else size
        with tempfile.TemporaryDirectory() as folder:
            source = write_recordings(
                Path(folder, "source"),
                units // UNITS_PER_FILE,
                seconds=UNITS_PER_FILE * SECONDS_PER_UNIT,
                sample_rate=16_000,
                channels=1,
            )
            command = [sys.executable, "-m", "benchmarks.memory", "--child", str(source), f"{folder}/out"]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        peaks[size] = json.loads(printed.splitlines()[-1])
        rows += [
            Row(case=f"{units:,} units", what=f"peak of the {who}", unit="MiB", value=value / 2**20)
            for who, value in peaks[size].items()
        ]
    small, large = (peaks[size] for size in SIZES)
    rows += [
        Row(case="growth", what=f"{who}, ten times the units", unit="×", value=large[who] / small[who]) for who in small
    ]
    print_table(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": [row.as_json() for row in rows]}, indent=2))


if __name__ == "__main__":
    main()
