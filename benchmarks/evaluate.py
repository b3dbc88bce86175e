"""`kind: evaluate` against its own metric functions on all cores.

10,000 pairs of 5 s at 16 kHz, the default metrics. Contestants:

- `pipeline`: `run_job`, with decoding, Ray, the store and the summary. Whole time, start-up included; and beyond
  start-up: two jobs, one with an eighth of the pairs, and the difference of their pairs over that of their times.
- `bare functions`: a process per core with one thread each that calls the metric functions on arrays in memory, and
  does nothing else: no files, no statuses to store, nothing to resume.
- `reading functions`: the same, but each pair is read with soundfile first, as any script has to.

Files are 200 pairs of coloured noise in bursts; a manifest names each fifty times.

Usage: python -m benchmarks.evaluate [--quick]
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from benchmarks.report import Row, machine, print_table
from jobs.evaluate_job import EvaluateJob
from jobs.run import run_job
from workers.metrics.metric_names import DEFAULT_METRICS
from workers.metrics.metric_set import Scorer

RATE = 16_000
SECONDS = 5.0
NUM_FILES = 200
CORES = len(os.sched_getaffinity(0))

Clips = tuple[NDArray[np.float32], NDArray[np.float32]]


def clips_of(number: int) -> Clips:
    """A sound and what a lossy model might make of it."""
    rng = np.random.default_rng(number)
    length = round(SECONDS * RATE)
    noise = np.convolve(rng.standard_normal(length), np.ones(8) / 8, "same")
    bursts = 0.3 * noise * np.abs(np.sin(2 * np.pi * rng.uniform(0.5, 3) * np.arange(length) / RATE))
    return bursts.astype(np.float32), (bursts + 0.02 * rng.standard_normal(length)).astype(np.float32)


def write_pairs(folder: Path) -> None:
    """FLAC files `ref/` and `out/`."""
    for number in range(NUM_FILES):
        for side, clip in zip(("ref", "out"), clips_of(number), strict=True):
            (folder / side).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / side / f"{number}.flac", np.clip(clip, -1, 1), RATE)


def write_manifests(folder: Path, num_pairs: int) -> None:
    """`ref-N.csv` and `out-N.csv`: as many rows, over and over the same files."""
    for side in ("ref", "out"):
        rows = [f"{side}/{number % NUM_FILES}.flac,{number}" for number in range(num_pairs)]
        (folder / f"{side}-{num_pairs}.csv").write_text("\n".join(["path,id", *rows]) + "\n")


def run_pipeline(folder: Path, num_pairs: int) -> float:
    """Seconds of a whole job."""
    sides = {
        name: {"path": str(folder / f"{side}-{num_pairs}.csv"), "id_column": "id"}
        for name, side in (("reference", "ref"), ("candidate", "out"))
    }
    with tempfile.TemporaryDirectory(dir=folder) as store:
        summary = run_job(EvaluateJob.model_validate({**sides, "output": str(Path(store) / "scores")}))
    assert summary.num_new == num_pairs, summary
    return summary.seconds


def run_bare(num_pairs: int, folder: Path | None = None) -> float:
    """Pairs per second of the functions alone, or of reading the pairs of a folder and the functions."""
    shares = [num_pairs // CORES + (core < num_pairs % CORES) for core in range(CORES)]
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(CORES + 1)
    times = context.Queue()
    workers = [context.Process(target=_score, args=(share, folder, ready, times)) for share in shares]
    for worker in workers:
        worker.start()
    ready.wait()
    began = time.perf_counter()
    for _ in workers:
        times.get()
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.join()
    return num_pairs / seconds


def _score(num_pairs: int, folder: Path | None, ready: Any, times: Any) -> None:
    torch.set_num_threads(1)
    pairs = [clips_of(number) for number in range(NUM_FILES)]
    rates = {"reference_rate_hz": RATE, "degraded_rate_hz": RATE}
    with Scorer(DEFAULT_METRICS, hop_length=0) as scorer:
        scorer(*pairs[0], **rates)
        ready.wait()
        for number in range(num_pairs):
            file = number % NUM_FILES
            scorer(*(pairs[file] if folder is None else _read(folder, file)), **rates)
        times.put(None)


def _read(folder: Path, number: int) -> Clips:
    """One of the pairs that `write_pairs` wrote."""
    first, second = (soundfile.read(folder / side / f"{number}.flac", dtype="float32") for side in ("ref", "out"))
    return first[0], second[0]


def main() -> None:
    """Takes turns, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,000 pairs, one round; rougher figures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    num_pairs, rounds = (2_000, 1) if arguments.quick else (10_000, arguments.rounds)
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of the processes that are started
    found: dict[str, list[float]] = {name: [] for name in ("bare", "reading", "whole", "beyond")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder)
        for count in (num_pairs, num_pairs // 8):
            write_manifests(folder, count)
        for _ in range(rounds):
            found["bare"].append(run_bare(num_pairs))
            found["reading"].append(run_bare(num_pairs, folder))
            small, large = run_pipeline(folder, num_pairs // 8), run_pipeline(folder, num_pairs)
            found["whole"].append(num_pairs / large)
            found["beyond"].append((num_pairs - num_pairs // 8) / (large - small))
    ratios = {
        (name, peer): [f / p for f, p in zip(found[name], found[peer], strict=True)]
        for name, peer in (("beyond", "bare"), ("whole", "bare"), ("beyond", "reading"))
    }
    case = f"{num_pairs:,} pairs of {SECONDS:g} s"
    described = {
        "bare": "metric functions alone, all cores",
        "reading": "metric functions and soundfile, all cores",
        "beyond": "pipeline, beyond start-up",
        "whole": "pipeline, start-up included",
    }
    rows = [
        Row(case=case, what=text, unit="pairs/s", value=statistics.median(found[name]), values=found[name])
        for name, text in described.items()
    ]
    rows += [
        Row(case=case, what=f"{described[name]} / {peer}", unit="", value=statistics.median(values), values=values)
        for (name, peer), values in ratios.items()
    ]
    print_table(rows)
    if arguments.json:
        figures = {"machine": machine(), "rows": [row.as_json() for row in rows]}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
