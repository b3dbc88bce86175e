"""How latentmill grows: from ten thousand to ten million units, and to sixty-four actors.

    plan      a manifest with durations → a saved plan, by a process that knows nothing of it
    resume    the same command again, up to its first pass: with half of the units committed, and with all of them; and
              the end of a job: all are committed, and the index, the statistics and the digest are still to be made
    lookup    a unit by its id, in a finished store: where it is, and its row
    actors    64 actors whose model only sleeps 50 ms per microbatch: how much of their time they are busy

There is no peer for these: what they are held against is a tenth of the units, and a clock. Each figure is taken in a
process of its own, with the peak of its resident memory (`getrusage`). The stores are real ones, which `PartWriter`
wrote, 4,096 units a file, but for their tensors, which are one number each.

    python -m benchmarks.scale [--part plan] [--rows 10000000] [--folder FOLDER] [--quick] [--json FILE]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Row, machine, print_table
from benchmarks.sleeping import measure_actors

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
UNITS_PER_FILE = 4096
LOOKUPS = 2_000
OUTPUT = Path(__file__).parent / "out"


def write_manifest(folder: Path, rows: int) -> None:
    """A CSV of shuffled paths in folders of 10,000, with durations of 1 to 10 s."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv

    generator = np.random.default_rng(0)
    numbers = pc.utf8_lpad(pa.array(generator.permutation(rows)).cast(pa.string()), 8, "0")
    paths = pc.binary_join_element_wise(
        "clips/", pc.utf8_slice_codeunits(numbers, 0, 4), "/clip_", numbers, ".flac", ""
    )
    seconds = np.round(generator.uniform(1, 10, rows), 3)
    pyarrow.csv.write_csv(pa.table({"path": paths, "seconds": seconds}), folder / "manifest.csv")


def plan(folder: Path) -> dict[str, float]:
    """Listing, cutting, comparing, saving."""
    return {"units": _begin(folder).plan.num_rows}


def commit(folder: Path, share: float) -> dict[str, float]:
    """Commits a share of the units: each a mel of one number."""
    import pyarrow as pa

    from pipeline.saved_plan import open_plan
    from pipeline.store.index import list_parts
    from pipeline.store.schema import store_schema
    from pipeline.store.writer import PartWriter
    from workers.tensor_column import TensorColumn

    store = str(folder / "store")
    output = TensorColumn(name="mel", shape=(1,), dtype="float16", description="")
    writer = PartWriter(store, store_schema([output], pa.schema([]), variable_length=False), durable=False)
    units = open_plan(store)
    done = len(list_parts(store))
    for number in range(done, round(-(-units.num_rows // UNITS_PER_FILE) * share)):
        rows = units.slice(number * UNITS_PER_FILE, UNITS_PER_FILE)
        table = rows.table(["sample_id", "source", "start_seconds", "duration_seconds", "seed"])
        table = table.append_column("microbatch", pa.array(np.full(rows.num_rows, 8, np.int32)))
        values = pa.py_buffer(rows.seeds.astype(np.uint16) & np.uint16(0x3BFF))  # any number below 1
        tensors = pa.FixedSizeBinaryArray.from_buffers(pa.binary(2), rows.num_rows, [None, values])
        writer.commit(table.append_column("mel", tensors))
    return {"parts": len(list_parts(store))}


def resume(folder: Path) -> dict[str, float]:
    """All that comes before the first pass."""
    from pipeline.blocks import blocks_per_span, form_spans
    from pipeline.pending import pending_units

    work = _begin(folder)
    pending = pending_units(work.plan, work.job.output)
    spans = form_spans(pending, 64, blocks_per_span=blocks_per_span(pending.num_rows, 64))
    return {"units": work.plan.num_rows, "pending": pending.num_rows, "spans": len(spans)}


def finish(folder: Path) -> dict[str, float]:
    """The same, and then all that comes after the last pass."""
    from jobs.begin import check_store
    from pipeline.finish import finish as complete

    work = _begin(folder)
    manifest = check_store(work, prune=False)
    assert manifest is not None
    return {"units": complete(work.job.output, work.plan, manifest).totals.num_units}


def lookup(folder: Path) -> dict[str, float]:
    """Seconds to open a store, and at the median to find a unit, and to read it, by its id."""
    from pipeline.saved_plan import open_plan
    from pipeline.store import LatentStore

    names = open_plan(str(folder / "store"))
    chosen = np.random.default_rng(1).integers(0, names.num_rows, LOOKUPS)
    ids = names.take(chosen)["sample_id"].to_pylist()
    del names
    started = time.perf_counter()
    store = LatentStore(folder / "store")
    found = {"units": float(len(store)), "open_seconds": time.perf_counter() - started}
    for name, look in (("find", store.positions), ("read", store.by_id)):
        seconds = []
        for sample_id in ids:
            started = time.perf_counter()
            look(sample_id)
            seconds.append(time.perf_counter() - started)
        found[f"{name}_seconds"] = float(np.median(seconds))
        found[f"{name}_seconds_p99"] = float(np.quantile(seconds, 0.99))
    return found


def _begin(folder: Path) -> Any:
    """What `latentmill run` does before Ray is started."""
    from jobs.begin import begin_store, check_store
    from jobs.mel_job import MelJob
    from jobs.prepare import prepare
    from pipeline.cluster import Resources
    from pipeline.progress import Silent

    source = {"path": str(folder / "manifest.csv"), "duration_column": "seconds"}
    job = MelJob.model_validate({"source": source, "output": str(folder / "store")})
    work = prepare(job, Resources(cpus=2, gpus=0), Silent())
    begin_store(work, check_store(work, prune=False), prune=False, retry_quarantined=False)
    return work


STEPS = {
    "manifest": lambda folder, rows: write_manifest(folder, rows),
    "plan": lambda folder, _: plan(folder),
    "commit half": lambda folder, _: commit(folder, 0.5),
    "resume, half committed": lambda folder, _: resume(folder),
    "commit all": lambda folder, _: commit(folder, 1.0),
    "resume, all committed": lambda folder, _: resume(folder),
    "finish, all committed": lambda folder, _: finish(folder),
    "resume, complete": lambda folder, _: resume(folder),
    "lookup": lambda folder, _: lookup(folder),
}
UNMEASURED = ("manifest", "commit half", "commit all")
NEEDED = {"plan": 2, "resume": 8, "lookup": 9}
"""How many of the steps each part takes."""


def run_step(step: str, folder: Path, rows: int) -> dict[str, float]:
    """One step in a process of its own, with its wall and CPU time, imports and all, and its peak memory."""
    command = [sys.executable, "-m", "benchmarks.scale", "--step", step, "--folder", str(folder), "--rows", str(rows)]
    started = time.perf_counter()
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {"seconds": time.perf_counter() - started, **json.loads(printed.splitlines()[-1])}


def step_in_this_process(step: str, folder: Path, rows: int) -> dict[str, float]:
    """What a step found, and what it took of this process."""
    found = STEPS[step](folder, rows) or {}
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {**found, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss * 1024}


def measure_units(sizes: list[int], num_steps: int, folder: Path) -> list[Row]:
    """Each measured step at each size."""
    rows: list[Row] = []
    for size in sizes:
        here = folder / str(size)
        here.mkdir(parents=True, exist_ok=True)
        for step in list(STEPS)[:num_steps]:
            found = run_step(step, here, size)
            if step in UNMEASURED:
                continue
            case = f"{size:,} units"
            if step == "lookup":
                figures = [
                    ("open", "open_seconds"),
                    ("find by id, median", "find_seconds"),
                    ("99 %", "find_seconds_p99"),
                ]
                figures += [("read by id, median", "read_seconds"), ("99 %", "read_seconds_p99")]
                rows += [
                    Row(case=case, what=f"lookup: {what}", unit="ms", value=1e3 * found[key]) for what, key in figures
                ]
            else:
                rows.append(Row(case=case, what=step, unit="s", value=found["seconds"]))
                rows.append(Row(case=case, what=f"{step}: CPU", unit="s", value=found["cpu_seconds"]))
            rows.append(Row(case=case, what=f"{step}: peak memory", unit="MiB", value=found["peak_bytes"] / 2**20))
        print_table([row for row in rows if row.case == f"{size:,} units"])
    return rows


def plot(rows: list[Row], path: Path) -> None:
    """Seconds and memory over units, both on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, label, suffix in ((panels[0], "seconds", ""), (panels[1], "MiB", ": peak memory")):
        for step in (step for step in STEPS if step not in UNMEASURED and step != "lookup"):
            points = [
                (int(row.case.split()[0].replace(",", "")), row.value) for row in rows if row.what == step + suffix
            ]
            if points:
                axes.loglog(*zip(*points, strict=True), marker="o", label=step)
        axes.set(xlabel="units", ylabel=label)
        axes.grid(True, which="both", alpha=0.3)
    panels[0].legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measures the parts and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=[*NEEDED, "actors"], help="just this one; all by default")
    parser.add_argument("--rows", type=int, help="just this many units, instead of 10,000 to 10,000,000")
    parser.add_argument("--folder", type=Path, help="where to put manifests and stores; a temporary folder by default")
    parser.add_argument("--quick", action="store_true", help="up to 1,000,000 units, and fewer seconds of actors")
    parser.add_argument(
        "--json", type=Path, default=OUTPUT / "scale.json", help="where the figures go, and a plot beside"
    )
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(step_in_this_process(arguments.step, arguments.folder, arguments.rows)))
        return
    sizes = [arguments.rows] if arguments.rows else list(SIZES[:3] if arguments.quick else SIZES)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if arguments.part != "actors":
            rows += measure_units(sizes, NEEDED[arguments.part or "lookup"], folder)
        if arguments.part in ("actors", None):
            measured = measure_actors(folder / "actors", seconds=20 if arguments.quick else 60)
            print_table(measured)
            rows += measured
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"machine": machine(), "rows": [row.as_json() for row in rows]}, indent=2))
    if arguments.part != "actors":
        plot(rows, arguments.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
