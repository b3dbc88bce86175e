"""WebDataset shards and tables in, a store out: the same content as from the files, and just what is new made anew."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.base import Job
from jobs.mel_job import MelJob
from jobs.run import run_job
from jobs.summary import Summary
from pipeline.quarantine import read_quarantine
from pipeline.store import LatentStore
from tests.jobs.stores import run_in_a_loop

pytestmark = pytest.mark.usefixtures("local_ray")


def mels(source: Path, output: Path, *, run: Callable[[Job], Summary] = run_job, **settings: Any) -> Summary:
    spec = {
        "source": {"path": str(source), **settings},
        "output": str(output),
        "segment": {"length_seconds": 1.0},
        "limits": {"max_failed_fraction": 1},
        "placement": {"actors": 1, "units_per_block": 8, "threads_per_actor": 1},
    }
    return run(MelJob.model_validate(spec))


def contents(store: Path, prefix: str = "") -> dict[str, np.ndarray]:
    """Mels by name of the recording and number of the segment."""
    opened = LatentStore(store)
    return {row["sample_id"].removeprefix(prefix): row["mel"] for row in map(opened.__getitem__, range(len(opened)))}


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def files_of(clips: Path) -> list[Path]:
    return sorted(path for path in clips.rglob("*") if path.suffix in (".wav", ".flac", ".ogg"))


def pack(files: list[Path], clips: Path, shard: Path) -> None:
    """A shard of recordings, each with a caption, and a member that leads out of it."""
    with tarfile.open(shard, "w") as archive:
        for file in files:
            archive.add(file, file.relative_to(clips))
            caption = file.with_suffix(".json")
            caption.write_text(f'{{"caption": "{file.stem}"}}')
            archive.add(caption, caption.relative_to(clips))
            caption.unlink()
        archive.addfile(tarfile.TarInfo("../../escape.wav"))


def test_shards_give_what_their_files_give_and_a_new_one_costs_just_itself(
    make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    clips, shards = make_clips(8), tmp_path / "shards"
    shards.mkdir()
    files = files_of(clips)
    mels(clips, tmp_path / "plain", run=run_in_a_loop)
    pack(files[:5], clips, shards / "s.tar")
    first = mels(shards, tmp_path / "store", run=run_in_a_loop)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store/data").iterdir()}
    assert 0 < first.manifest.totals.num_units < len(contents(tmp_path / "plain"))

    with tarfile.open(shards / "s.tar", "a") as archive:  # moves nothing, but changes size and time of the shard
        archive.add(files[5], files[5].relative_to(clips))
    pack(files[6:], clips, shards / "t.tar")
    mels(shards, tmp_path / "store")
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store/data").iterdir()}
    assert before.items() <= after.items()
    found = {name.partition(".tar/")[2]: mel for name, mel in contents(tmp_path / "store").items()}
    assert same(found, contents(tmp_path / "plain"))
    row = LatentStore(tmp_path / "store").by_id(f"s.tar/{files[0].relative_to(clips)}#0")
    assert (row["caption"], row["source"]) == (files[0].stem, f"s.tar/{files[0].relative_to(clips)}")
    failed = read_quarantine(str(tmp_path / "store")).to_pylist()
    assert [row["sample_id"].partition("@")[0] for row in failed] == ["s.tar", "t.tar"]
    assert all("leads out of the archive" in row["reason"] for row in failed)


def test_tables_give_what_their_files_give(clips: Path, tmp_path: Path) -> None:
    files = files_of(clips)
    audio = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    table = pa.table({"audio": audio, "file": [str(file.relative_to(clips)) for file in files]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=4)
    mels(clips, tmp_path / "plain", run=run_in_a_loop)
    mels(tmp_path / "t.parquet", tmp_path / "store", id_column="file")
    assert same(contents(tmp_path / "store"), contents(tmp_path / "plain"))
