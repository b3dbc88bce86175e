"""A whole job whose decoder crashes, hangs and bloats on chosen units: those alone are quarantined, at once."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs.base import Job
from jobs.mel_job import MelJob
from jobs.run import run_job
from jobs.summary import Summary
from pipeline.decode import decode_block
from pipeline.quarantine import read_quarantine
from tests.jobs.stores import run_in_a_loop

pytestmark = pytest.mark.usefixtures("local_ray")

FAULTS = Path(__file__).parents[1] / "faults"
GUILTY = {
    "segfault-at-1.wav#1": ("crash", "crash", "decoding it kills its process by SIGSEGV (Segmentation fault)"),
    "abort-at-2.wav#2": ("crash", "crash", "decoding it kills its process by SIGABRT (Aborted)"),
    "exit-at-0.wav#0": ("crash", "crash", "decoding it ends its process with exit code 3"),
    "loop-at-1.wav#1": ("timeout", "timeout", "decoding it takes longer than 4 s"),
    "hoard-at-0.wav#0": ("crash", "MemoryError", "decoding it needs more than 0.25 GiB of memory"),
    "raise-at-2.wav#2": ("decode", "RuntimeError", "no good"),
}


def decode_with_faults(units: pa.Table, spec: Any, **options: Any) -> pa.Table:
    """`decode_block` with a decoder that commits the faults that the files' names ask for."""
    if str(FAULTS) not in sys.path:
        sys.path.append(str(FAULTS))
    return decode_block(units, spec, **options, decoder="faulty_media:decode_units")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds for each fault and three healthy files; each is three units."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for name in (*(unit.partition("#")[0] for unit in GUILTY), "a.wav", "b.wav", "c.wav"):
        soundfile.write(folder / name, rng.uniform(-0.5, 0.5, 3 * 16_000), 16_000)
    return folder


def mel(source: Path, output: Path, *, run: Callable[[Job], Summary] = run_job, **limits: float) -> Summary:
    job: dict[str, Any] = {
        "source": {"path": str(source)},
        "output": str(output),
        "segment": {"length_seconds": 1.0},
        "microbatch": 4,
        "placement": {"actors": 1, "units_per_block": 9, "threads_per_actor": 1},
        "limits": {"max_failed_fraction": 1, **limits},
    }
    return run(MelJob.model_validate(job))


def digests(store: Path) -> dict[str, bytes]:
    """Of each stored row."""
    parts = pq.read_table(store / "data", columns=["sample_id", "row_digest"])
    return dict(zip(parts["sample_id"].to_pylist(), parts["row_digest"].to_pylist(), strict=True))


def test_exactly_the_guilty_units_are_quarantined(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mel(recordings, tmp_path / "clean", run=run_in_a_loop)
    monkeypatch.setattr("pipeline.inputs.decode_block", decode_with_faults)
    summary = mel(recordings, tmp_path / "faulty", decode_seconds=4, decode_memory_gib=0.25)

    quarantined = {row["sample_id"]: row for row in read_quarantine(str(tmp_path / "faulty")).to_pylist()}
    found = {name: (row["stage"], row["error_type"], row["reason"]) for name, row in quarantined.items()}
    assert found == GUILTY
    assert {row["attempts"] for name, row in quarantined.items() if "raise" not in name} == {2}
    clean, faulty = digests(tmp_path / "clean"), digests(tmp_path / "faulty")
    assert len(clean) == 27
    assert faulty == {name: digest for name, digest in clean.items() if name not in GUILTY}
    assert summary.num_new == 27 - len(GUILTY)
