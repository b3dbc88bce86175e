"""How fast latents are written and read: a latentmill store against the formats that people use today.

Every format holds the same float16 moments (mean and log-variance) of the same units, and gives them back as stacked
arrays of 64 units. Writing begins with arrays in memory and ends with closed files (`write`), or with files that
survive a power cut (`write, fsync`: every file synced, as each format's layout demands). latentmill's figure includes
what the others do not do: a digest of every row, exact statistics, and seven metadata columns. Reads are from a
warm page cache. Formats take turns within each round; the figures are medians over rounds.

    python benchmarks/store.py [--quick] [--json benchmarks/out/store.json]
"""

import argparse
import io
import json
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.store import LatentStore
from pipeline.store.columns import tensor_arrays
from pipeline.store.schema import store_schema
from pipeline.store.writer import PartWriter
from workers.tensor_column import TensorColumn

BATCH = 64
MOMENTS = ("latent_mean", "latent_logvar")

Arrays = dict[str, NDArray[np.float16]]
Batches = Iterator[list[NDArray[np.float16]]]


@dataclass(frozen=True)
class Workload:
    """Latents of one shape."""

    name: str
    shape: tuple[int, ...]
    num_units: int

    def arrays(self) -> Arrays:
        """Seeded normal moments by column, each `[units, *shape]`."""
        generator = np.random.default_rng(0)
        shape = (self.num_units, *self.shape)
        return {name: generator.standard_normal(shape, np.float32).astype(np.float16) for name in MOMENTS}


class Format(Protocol):
    """One way to keep latents on disk."""

    name: str

    def write(self, folder: Path, arrays: Arrays) -> None:
        """Write all units into an empty folder."""

    def open(self, folder: Path, workload: Workload) -> Any:
        """What the reads need, opened once."""

    def random(self, opened: Any, positions: list[int]) -> list[NDArray[np.float16]]:
        """Stacked moments of units in any order."""

    def sequential(self, opened: Any) -> Batches:
        """Stacked moments of all units."""


class Latentmill:
    """Parts of about 64 MiB, written by `PartWriter`, read by `LatentStore`."""

    name = "latentmill"

    def __init__(self, *, durable: bool) -> None:
        """With `durable`, each commit is synced."""
        self._durable = durable

    def write(self, folder: Path, arrays: Arrays) -> None:
        """Commit part after part."""
        shape = arrays["latent_mean"].shape[1:]
        outputs = [TensorColumn(name=name, shape=shape, dtype="float16", description="") for name in MOMENTS]
        schema = store_schema(outputs, pa.schema([("caption", pa.string())]), variable_length=False)
        writer = PartWriter(str(folder), schema, durable=self._durable)
        num_units = len(arrays["latent_mean"])
        step = max(1, (64 << 20) // (2 * arrays["latent_mean"][0].nbytes))
        for start in range(0, num_units, step):
            stop = min(start + step, num_units)
            rows = range(start, stop)
            columns: dict[str, Any] = {
                "sample_id": [f"{row:08d}" for row in rows],
                "source": [f"sounds/{row // 8:06d}.flac" for row in rows],
                "start_seconds": np.array(rows, np.float64),
                "duration_seconds": np.ones(stop - start),
                "seed": np.array(rows, np.uint64),
                "microbatch": np.full(stop - start, 8, np.int32),
                "caption": [f"the sound of number {row}" for row in rows],
            }
            for output in outputs:
                columns |= tensor_arrays(output, arrays[output.name][start:stop], variable_length=False)
            writer.commit(pa.table(columns))

    def open(self, folder: Path, workload: Workload) -> LatentStore:  # noqa: ARG002
        """The store."""
        return LatentStore(folder)

    def random(self, opened: LatentStore, positions: list[int]) -> list[NDArray[np.float16]]:
        """By position."""
        batch = opened.read(positions, MOMENTS)
        return [batch[name] for name in MOMENTS]

    def sequential(self, opened: LatentStore) -> Batches:
        """In the order of the disk."""
        for batch in opened.iter_batches(BATCH, MOMENTS):
            yield [batch[name] for name in MOMENTS]


class NpyFiles:
    """One .npy per unit, both moments in it."""

    name = ".npy files"

    def write(self, folder: Path, arrays: Arrays) -> None:
        """`np.save` each unit."""
        for row, moments in enumerate(zip(*arrays.values(), strict=True)):
            np.save(folder / f"{row:08d}.npy", np.stack(moments))

    def open(self, folder: Path, workload: Workload) -> list[str]:
        """The paths."""
        return [str(folder / f"{row:08d}.npy") for row in range(workload.num_units)]

    def random(self, opened: list[str], positions: list[int]) -> list[NDArray[np.float16]]:
        """`np.load` each unit."""
        both = np.stack([np.load(opened[position]) for position in positions])
        return [both[:, 0], both[:, 1]]

    def sequential(self, opened: list[str]) -> Batches:
        """In order of name."""
        for start in range(0, len(opened), BATCH):
            yield self.random(opened, list(range(start, min(start + BATCH, len(opened)))))


class WebDatasetTars:
    """Tar shards of 1,024 units with one .npy member each; no random access."""

    name = "WebDataset tars"

    def write(self, folder: Path, arrays: Arrays) -> None:
        """`webdataset.ShardWriter`."""
        import webdataset

        with webdataset.ShardWriter(str(folder / "%06d.tar"), maxcount=1024, verbose=0) as writer:
            for row, moments in enumerate(zip(*arrays.values(), strict=True)):
                writer.write({"__key__": f"{row:08d}", "npy": np.stack(moments)})

    def open(self, folder: Path, workload: Workload) -> list[str]:  # noqa: ARG002
        """The shards."""
        return sorted(map(str, folder.glob("*.tar")))

    def random(self, opened: list[str], positions: list[int]) -> list[NDArray[np.float16]]:
        """Not offered by the format."""
        raise NotImplementedError

    def sequential(self, opened: list[str]) -> Batches:
        """`webdataset.WebDataset`, members decoded by `np.load`."""
        import webdataset

        pending: list[NDArray[np.float16]] = []
        for sample in webdataset.WebDataset(opened, shardshuffle=False):
            pending.append(np.load(io.BytesIO(sample["npy"])))
            if len(pending) == BATCH:
                both = np.stack(pending)
                yield [both[:, 0], both[:, 1]]
                pending = []
        if pending:
            both = np.stack(pending)
            yield [both[:, 0], both[:, 1]]


class HuggingFaceDatasets:
    """`Dataset.save_to_disk` of binary columns: the quickest that `datasets` offers for tensors."""

    name = "HF datasets"

    def write(self, folder: Path, arrays: Arrays) -> None:
        """Arrow files through `Dataset.save_to_disk`."""
        import datasets

        num_units = len(arrays["latent_mean"])
        columns: dict[str, Any] = {"sample_id": [f"{row:08d}" for row in range(num_units)]}
        for name, values in arrays.items():
            flat = pa.py_buffer(values)
            offsets = pa.py_buffer(np.arange(num_units + 1, dtype=np.int64) * values[0].nbytes)
            columns[name] = pa.LargeBinaryArray.from_buffers(pa.large_binary(), num_units, [None, offsets, flat])
        datasets.Dataset(pa.table(columns)).save_to_disk(folder / "set")

    def open(self, folder: Path, workload: Workload) -> Any:
        """The dataset and the shape of a moment."""
        import datasets

        return datasets.load_from_disk(folder / "set").select_columns(list(MOMENTS)), workload.shape

    def random(self, opened: Any, positions: list[int]) -> list[NDArray[np.float16]]:
        """Index by a list."""
        dataset, shape = opened
        return self._stacked(dataset[positions], shape)

    def sequential(self, opened: Any) -> Batches:
        """`Dataset.iter`."""
        dataset, shape = opened
        for batch in dataset.iter(BATCH):
            yield self._stacked(batch, shape)

    def _stacked(self, batch: Any, shape: tuple[int, ...]) -> list[NDArray[np.float16]]:
        return [np.stack([np.frombuffer(v, np.float16).reshape(shape) for v in batch[name]]) for name in MOMENTS]


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def sync_files(folder: Path) -> None:
    """Put every file and folder below `folder` on disk."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def measure(workload: Workload, root: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Median MB/s and units/s by format and measure."""
    arrays = workload.arrays()
    num_bytes = sum(values.nbytes for values in arrays.values())
    order = np.random.default_rng(1).permutation(workload.num_units).tolist()
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    quick: list[Format] = [Latentmill(durable=False), NpyFiles(), WebDatasetTars(), HuggingFaceDatasets()]
    figures: dict[str, dict[str, list[float]]] = {format.name: {} for format in quick}

    def note(format: Format, what: str, figure: float) -> None:
        figures[format.name].setdefault(what, []).append(figure)

    for _ in range(rounds):
        for format in quick:
            folder = fresh(root / "durable")
            os.sync()
            if isinstance(format, Latentmill):
                took = seconds(lambda: Latentmill(durable=True).write(folder, arrays))  # noqa: B023
            else:
                took = seconds(lambda: (format.write(folder, arrays), sync_files(folder)))  # noqa: B023
            note(format, "write, fsync MB/s", num_bytes / took / 1e6)
            folder = fresh(root / "quick")
            os.sync()
            note(format, "write MB/s", num_bytes / seconds(lambda: format.write(folder, arrays)) / 1e6)  # noqa: B023
            opened = format.open(folder, workload)
            check(format, opened, arrays)
            took = seconds(lambda: [None for _ in format.sequential(opened)])  # noqa: B023
            note(format, "sequential units/s", workload.num_units / took)
            if not isinstance(format, WebDatasetTars):
                took = seconds(lambda: [len(format.random(opened, batch)) for batch in batches])  # noqa: B023
                note(format, "random units/s", workload.num_units / took)
    return {name: {what: statistics.median(all_) for what, all_ in of.items()} for name, of in figures.items()}


def check(format: Format, opened: Any, arrays: Arrays) -> None:
    """All units come back, bit for bit; the order of the disk is each format's own."""
    if not isinstance(format, WebDatasetTars):
        positions = list(range(0, len(arrays["latent_mean"]), 37))
        for found, wanted in zip(format.random(opened, positions), arrays.values(), strict=True):
            assert np.array_equal(found.view(np.uint16), wanted[positions].view(np.uint16)), format.name
    assert sum(len(mean) for mean, _ in format.sequential(opened)) == len(arrays["latent_mean"]), format.name


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def show(workload: Workload, figures: dict[str, dict[str, float]]) -> None:
    """Print one table."""
    measures = ["write MB/s", "write, fsync MB/s", "sequential units/s", "random units/s"]
    print(f"\n{workload.name}: {workload.num_units:,} units, 2 × float16 {list(workload.shape)}")
    print("| format | " + " | ".join(measures) + " |\n| --- |" + " ---: |" * len(measures))
    for name, of in figures.items():
        print(f"| {name} | " + " | ".join(f"{of[what]:,.0f}" if what in of else "—" for what in measures) + " |")


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer units and rounds: under a minute")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/out/store.json"))
    parser.add_argument("--folder", type=Path, help="where to write; the system's temporary folder if not given")
    arguments = parser.parse_args()
    logging.getLogger("datasets").setLevel(logging.ERROR)
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    share, rounds = (4, 3) if arguments.quick else (1, 5)
    workloads = [
        Workload("AudioVAE latents", (8, 64), 20_480 // share),
        Workload("AudioLDM2 latents", (8, 256, 16), 2_048 // share),
    ]
    report = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as root:
        for workload in workloads:
            report[workload.name] = measure(workload, Path(root), rounds)
            show(workload, report[workload.name])
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"rounds": rounds, "batch": BATCH, "figures": report}, indent=2) + "\n")


if __name__ == "__main__":
    main()
