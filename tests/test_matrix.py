"""Same spec, same bytes: one digest, however many actors and nodes, whatever blocks and company, killed or not.

The reference is made by a plain loop in this process, without Ray.
"""

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.load import load_job
from pipeline.store import LatentStore
from tests.chaos.cluster import RayletCluster, raylet_cluster
from tests.conftest import write_clips
from tests.jobs.command import COMMAND
from tests.jobs.stores import run_in_a_loop

SPECS: dict[str, dict[str, Any]] = {
    "mel": {"kind": "mel", "mel": {"preset": "audioldm2"}},
    "encode": {
        "kind": "encode",
        "model": {"kind": "audio_vae", "weights": "random", "base_channels": 8, "num_res_blocks": 1},
        "precision": "float32",
    },
}
SEGMENT = {"length_seconds": 1.024, "hop_seconds": 0.256}
CPUS = 6


@dataclass(frozen=True)
class Case:
    """One way to run a job."""

    kind: str
    actors: int
    units_per_block: int
    goes: int
    """2: half of the files in a first run and all in a second, so that units meet other ones in their microbatches."""
    interrupted: bool
    """Killed by SIGKILL once it has committed something, and resumed."""

    def __str__(self) -> str:
        killed = "-killed" if self.interrupted else ""
        return f"{self.kind}-{self.actors}x{self.units_per_block}-{self.goes}{killed}"


QUICK = [(3, Case("encode", actors=2, units_per_block=5, goes=1, interrupted=True))]
MELS = [
    (1, Case("mel", actors=1, units_per_block=16, goes=1, interrupted=True)),
    (3, Case("mel", actors=2, units_per_block=2, goes=2, interrupted=False)),
]
FULL = [
    (nodes, Case("encode", *rest))
    for nodes, *rest in itertools.product((1, 3), (1, 2, 4), (3, 16), (1, 2), (False, True))
]


@dataclass(frozen=True)
class Inputs:
    """What all cases are made from."""

    folder: Path
    digests: dict[str, str] = field(default_factory=dict)

    def spec(self, kind: str) -> Path:
        """The spec of a kind."""
        return self.folder / f"{kind}.yaml"

    def digest(self, kind: str) -> str:
        """What a job of this kind has to give, from a plain loop; made when it is first asked for."""
        if kind not in self.digests:
            summary = run_in_a_loop(load_job(self.spec(kind), [f"output={self.folder / kind}"]))
            self.digests[kind] = str(summary.manifest.content_digest)
        return self.digests[kind]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Sixteen recordings, a manifest of all and one of half of them, and the specs."""
    folder = tmp_path_factory.mktemp("matrix")
    manifest = write_clips(folder / "clips", 16) / "captions.csv"
    header, *rows = manifest.read_text().splitlines()
    (folder / "clips" / "half.csv").write_text("\n".join([header, *rows[::2]]) + "\n")
    for kind, spec in SPECS.items():
        common = {"source": {"path": str(manifest)}, "segment": SEGMENT, "microbatch": 4, "output": "set on the way"}
        (folder / f"{kind}.yaml").write_text(yaml.safe_dump(common | spec))
    return Inputs(folder)


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[RayletCluster]:
    """A cluster whose CPUs lie on one node or on three."""
    with raylet_cluster(num_nodes=request.param, cpus_per_node=CPUS // request.param) as running:
        yield running


def start(cluster: RayletCluster, spec: Path, store: Path, case: Case, **changes: object) -> subprocess.Popen[str]:
    values = {
        "output": store,
        "placement.actors": case.actors,
        "placement.threads_per_actor": 1,
        "placement.units_per_block": case.units_per_block,
        "placement.units_per_file": case.units_per_block,
        **changes,
    }
    return subprocess.Popen(
        [*COMMAND, "run", str(spec), "--json", *(f"--set={name}={value}" for name, value in values.items())],
        env=os.environ | cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    printed, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    summary: dict[str, Any] = json.loads(printed)
    return summary


def kill_half_way(process: subprocess.Popen[str], store: Path) -> int:
    """Kills the driver when it has committed a file more than there were; gives the units that are stored then."""
    before = len(list((store / "data").glob("*.parquet")))
    limit = time.monotonic() + 120
    while len(list((store / "data").glob("*.parquet"))) == before:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return len(LatentStore(store))


def check(cluster: RayletCluster, case: Case, inputs: Inputs, store: Path) -> None:
    spec = inputs.spec(case.kind)
    if case.goes == 2:
        half = finish(start(cluster, spec, store, case, **{"source.path": inputs.folder / "clips" / "half.csv"}))
        assert half["content_digest"] != inputs.digest(case.kind)
    kept = kill_half_way(start(cluster, spec, store, case), store) if case.interrupted else 0
    summary = finish(start(cluster, spec, store, case))
    assert summary["content_digest"] == inputs.digest(case.kind)
    assert summary["num_new"] + summary["num_kept"] == summary["num_units"]
    assert summary["num_kept"] >= kept


@pytest.mark.parametrize(("cluster", "case"), QUICK, indirect=["cluster"], ids=str)
def test_one_digest(cluster: RayletCluster, case: Case, inputs: Inputs, tmp_path: Path) -> None:
    check(cluster, case, inputs, tmp_path / "store")


@pytest.mark.slow
@pytest.mark.parametrize(("cluster", "case"), [*FULL, *MELS], indirect=["cluster"], ids=str)
def test_one_digest_of_all_combinations(cluster: RayletCluster, case: Case, inputs: Inputs, tmp_path: Path) -> None:
    check(cluster, case, inputs, tmp_path / "store")


def test_the_matrix_is_whole() -> None:
    assert len(set(FULL)) == 48
