"""The jobs that chaos is let loose on: small, with many blocks, run by the command line in a process of its own."""

import hashlib
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile

from tests.jobs.command import COMMAND

RECIPES = {"mel": "mel", "encode": "encode_audio"}
"""Kinds of jobs, and the recipe of each."""
NUM_FILES = 25
UNITS_PER_FILE = 8
SECONDS = 2.048
STARTED = "placement:"
"""What the command prints when it begins to run what is pending."""
_COMMON = {
    "segment.length_seconds": SECONDS,
    "audio.resample_quality": "VHQ",
    "microbatch": 4,
    "placement.units_per_block": 8,
    "placement.units_per_file": 8,
    "placement.actors": 2,
    "placement.cpus_per_actor": 0.5,
    "placement.decode_tasks": 2,
    "placement.threads_per_actor": 1,
}
_OF_KIND: dict[str, dict[str, object]] = {
    "mel": {"mel.n_fft": 4096, "mel.hop_length": 64},
    "encode": {"model.weights": "random", "model.base_channels": 48},
}


def make_recordings(folder: Path) -> None:
    """Writes noise of a few rates as FLAC: 200 units in 25 files."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(NUM_FILES):
        rate = (22_050, 44_100, 48_000)[number % 3]
        noise = rng.uniform(-0.3, 0.3, round(UNITS_PER_FILE * SECONDS * rate))
        soundfile.write(folder / f"{number:03d}.flac", noise, rate)


class Driver:
    """One run of the command line."""

    def __init__(self, kind: str, source: Path, store: Path, environment: dict[str, str], log: Path) -> None:
        values = {"source.path": source, "output": store, **_COMMON, **_OF_KIND[kind]}
        overrides = [f"--set={name}={value}" for name, value in values.items()]
        self.started = time.monotonic()
        self._log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [*COMMAND, "run", RECIPES[kind], *overrides],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
            )

    @property
    def seconds(self) -> float:
        """Time since it was started."""
        return time.monotonic() - self.started

    @property
    def printed(self) -> str:
        """All it said so far."""
        return self._log.read_text()

    def wait_for(self, text: str) -> float | None:
        """Waits until it says something; gives the time since its start, None if it ended first."""
        while text not in self.printed:
            if self.process.poll() is not None:
                return None
            time.sleep(0.01)
        return self.seconds

    def wait(self, timeout: float = 240.0) -> int:
        """Its exit code, once it has ended; one that hangs is killed, for -9."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a store holds, counted without latentmill's help."""

    num_lost: int
    """Units of the plan that are neither stored nor in quarantine."""
    num_duplicated: int
    num_quarantined: int
    content: str
    """Digest of all ids and tensors in order of id."""
    content_digest: str | None
    """As the manifest tells it."""


def look_at(store: Path) -> Outcome:
    """Reads plan, data and quarantine of a store."""
    rows: list[tuple[str, bytes]] = []
    for path in sorted((store / "data").glob("*.parquet")):
        table = pq.read_table(path)
        tensors = [field.name for field in table.schema if b"dtype" in (field.metadata or {})]
        columns = [table[name].to_pylist() for name in ("sample_id", *tensors)]
        rows += [(name, b"".join(values)) for name, *values in zip(*columns, strict=True)]
    rows.sort()
    ids = [name for name, _ in rows]
    quarantined = {
        name
        for path in (store / "quarantine").glob("*.parquet")
        for name in pq.read_table(path)["sample_id"].to_pylist()
    }
    planned = set(pq.read_table(store / "plan" / "units.parquet")["sample_id"].to_pylist())
    digest = hashlib.sha256()
    for name, values in rows:
        digest.update(name.encode() + b"\0" + hashlib.sha256(values).digest())
    return Outcome(
        num_lost=len(planned - set(ids) - quarantined),
        num_duplicated=len(ids) - len(set(ids)),
        num_quarantined=len(quarantined),
        content=digest.hexdigest(),
        content_digest=json.loads((store / "manifest.json").read_text())["content_digest"],
    )
