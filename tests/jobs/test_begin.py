"""What a run finds in its output folder, and what it makes of it."""

from pathlib import Path

import pytest

from jobs.begin import begin_store, check_store
from jobs.mel_job import MelJob
from jobs.prepare import Prepared, prepare
from pipeline.cluster import Resources
from pipeline.progress import Silent


def prepared(clips: Path, output: Path, *, seed: int = 0) -> Prepared:
    job = MelJob.model_validate({"source": {"path": clips}, "output": output, "seed": seed})
    return prepare(job, Resources(cpus=2, gpus=0), Silent())


def begin(work: Prepared) -> None:
    begin_store(work, check_store(work, prune=False), prune=False, retry_quarantined=False)


def test_a_new_store_is_known_by_its_manifest_spec_and_plan(clips: Path, tmp_path: Path) -> None:
    begin(prepared(clips, tmp_path / "store"))
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"manifest.json", "job.yaml", "plan"}


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_kill_while_beginning_leaves_a_store_to_go_on_with(clips: Path, tmp_path: Path, kept: int) -> None:
    begin(prepared(clips, tmp_path / "store"))
    for path in [tmp_path / "store/plan/units.parquet", tmp_path / "store/job.yaml"][: 3 - kept]:
        path.unlink()
    begin(prepared(clips, tmp_path / "store"))
    assert (tmp_path / "store/job.yaml").exists()
    assert (tmp_path / "store/plan/units.parquet").exists()


@pytest.mark.parametrize("damage", ["", "{", '{"version": 3}'])
def test_a_damaged_manifest_is_made_anew_for_the_same_job_only(clips: Path, tmp_path: Path, damage: str) -> None:
    begin(prepared(clips, tmp_path / "store"))
    (tmp_path / "store/manifest.json").write_text(damage)
    with pytest.raises(ValueError, match="is not empty, and no store of this job"):
        check_store(prepared(clips, tmp_path / "store", seed=1), prune=False)
    begin(prepared(clips, tmp_path / "store"))
    assert check_store(prepared(clips, tmp_path / "store"), prune=False) is not None


def test_somebody_elses_folder_is_left_alone(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("# my own notes\nkind: mel\n")
    with pytest.raises(ValueError, match="is not empty, and no store of this job"):
        check_store(prepared(clips, tmp_path), prune=False)
    assert (tmp_path / "job.yaml").read_text().startswith("# my own notes")


def test_damaged_plans_are_derived_again(clips: Path, tmp_path: Path) -> None:
    begin(prepared(clips, tmp_path / "store"))
    for path in (tmp_path / "store/plan").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    begin(prepared(clips, tmp_path / "store"))


def test_a_segment_off_the_models_grid_is_told(clips: Path, tmp_path: Path) -> None:
    job = {"source": {"path": clips}, "output": tmp_path / "store", "segment": {"length_seconds": 10.01}}
    notes = prepare(MelJob.model_validate(job), Resources(cpus=2, gpus=0), Silent()).notes
    assert "every unit is padded to 10.016 s; 9.984 or 10.016 would need no padding" in notes[0]
