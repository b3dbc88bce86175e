"""A thousand damaged and lying media files: each is decoded or has a reason, in bounded memory, and nothing crashes."""

import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jobs.mel_job import MelJob
from jobs.run import run_job
from jobs.verify import verify_store
from pipeline.quarantine import read_quarantine
from pipeline.source.listing import MEDIA_EXTENSIONS
from pipeline.store import LatentStore

FAULTS = Path(__file__).parent / "faults"
ROOT = Path(__file__).parents[1]
STAGES = {"probe", "decode", "crash", "timeout"}
SECONDS = 60
MEMORY_GIB = 0.25


@pytest.fixture
def mutated_media(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The generator."""
    monkeypatch.syspath_prepend(FAULTS)
    return importlib.import_module("mutated_media")


def decode_folder(folder: Path) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, str(FAULTS / "decode_folder.py"), str(folder), str(SECONDS), str(MEMORY_GIB)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def check(found: dict[str, Any], paths: list[Path]) -> None:
    outcomes = found["outcomes"]
    failures = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, dict)}
    assert {name.partition("#")[0] for name in outcomes} == {path.name for path in paths}
    assert {failure["stage"] for failure in failures.values()} <= STAGES
    assert all(len(failure["reason"]) > 10 and "\n" not in failure["reason"] for failure in failures.values())
    for name, outcome in outcomes.items():
        if "bomb" in name:
            assert outcome == 0, name  # silence, as it says
    assert found["parent_peak"] < 0.5 * 2**30
    assert found["children_peak"] < (MEMORY_GIB + 0.25) * 2**30


def test_some_mutations(tmp_path: Path, mutated_media: ModuleType) -> None:
    paths = mutated_media.write_mutations(tmp_path, 120, seed=1)
    found = decode_folder(tmp_path)
    check(found, paths)
    kinds = Counter("failed" if isinstance(outcome, dict) else "decoded" for outcome in found["outcomes"].values())
    assert min(kinds["failed"], kinds["decoded"]) > 40


@pytest.mark.slow
def test_a_thousand_mutations(tmp_path: Path, mutated_media: ModuleType) -> None:
    paths = mutated_media.write_mutations(tmp_path, 1000, seed=0)
    assert len(paths) == 1000
    found = decode_folder(tmp_path)
    check(found, paths)
    kinds = Counter("failed" if isinstance(outcome, dict) else "decoded" for outcome in found["outcomes"].values())
    assert min(kinds["failed"], kinds["decoded"]) > 350


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_whole_job_on_a_thousand_mutations(tmp_path: Path, mutated_media: ModuleType) -> None:
    mutated_media.write_mutations(tmp_path / "source", 1000, seed=0)
    job = MelJob.model_validate(
        {
            "source": {"path": str(tmp_path / "source")},
            "output": str(tmp_path / "store"),
            "segment": {"length_seconds": 1.0, "max_segments": 3},
            "limits": {"max_failed_fraction": 1, "decode_seconds": SECONDS, "decode_memory_gib": MEMORY_GIB},
            "placement": {"actors": 1, "threads_per_actor": 1},
        }
    )
    totals = run_job(job).manifest.totals
    assert min(totals.num_units, totals.num_quarantined) > 350
    assert verify_store(str(tmp_path / "store")).sound
    failed = read_quarantine(str(tmp_path / "store"))
    assert set(failed["stage"].to_pylist()) <= STAGES
    stored = LatentStore(tmp_path / "store").select(["source"])["source"].to_pylist()
    there = [path for path in (tmp_path / "source").rglob("*") if path.suffix.lower() in MEDIA_EXTENSIONS]
    known = {path.relative_to(tmp_path / "source").as_posix() for path in there}
    assert len(known) == 1006  # the mutations, and the recordings that they were made from
    assert {*stored, *failed["source"].to_pylist()} == known


def test_mutations_are_seeded(tmp_path: Path, mutated_media: ModuleType) -> None:
    first = mutated_media.write_mutations(tmp_path / "a", 60, seed=3, bombs=False)
    again = mutated_media.write_mutations(tmp_path / "b", 60, seed=3, bombs=False)
    assert [path.name for path in first] == [path.name for path in again]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
