"""The command line in a process of its own, on a small job with many blocks, for tests that disturb it."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-c", "from jobs.cli import main; main()"]
VALUES = {
    "segment.length_seconds": 1.024,
    "segment.hop_seconds": 0.128,
    "model.weights": "random",
    "model.base_channels": 16,
    "microbatch": 4,
    "placement.units_per_block": 4,
    "placement.units_per_file": 4,
    "placement.actors": 1,
}


def run_command(source: Path, output: Path, *more: str, **changes: Any) -> list[str]:
    """`latentmill run encode_audio` of many overlapping units, with changed fields (`__` for a dot)."""
    values = {"source.path": source, "output": output, **VALUES}
    values |= {name.replace("__", "."): value for name, value in changes.items()}
    return [*COMMAND, "run", "encode_audio", *(f"--set={name}={value}" for name, value in values.items()), *more]


def latentmill(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Any command, waited for."""
    return subprocess.run(
        [*COMMAND, *map(str, command)], capture_output=True, text=True, check=False, timeout=300, **options
    )


def finished(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """A run, waited for."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)


def started(command: list[str]) -> subprocess.Popen[str]:
    """A run that goes on; what it prints, on either stream, is in `stdout`."""
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1, start_new_session=True
    )


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """Reads what a run prints up to a line with `text`; gives what came so far."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it ended without saying {text!r}:\n{said}")


def parts_of(store: Path) -> list[Path]:
    """Committed files."""
    return sorted((store / "data").glob("part-*.parquet"))


def wait_for_parts(process: subprocess.Popen[str], store: Path, count: int) -> None:
    """Until so many files are committed, while the run goes on."""
    limit = time.monotonic() + 240
    while len(parts_of(store)) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit
        time.sleep(0.005)
