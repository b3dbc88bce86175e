"""Stores that several tests of jobs look at, made once."""

import shutil
from pathlib import Path

import pytest

from pipeline.store import LatentStore
from tests.conftest import write_clips
from tests.jobs.command import finished, run_command
from tests.jobs.stores import make_mels


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `source/`, one file of which is broken, and the `store/` of it. Read only."""
    folder = tmp_path_factory.mktemp("made")
    write_clips(folder / "source", 6)
    (folder / "source" / "broken.wav").write_text("no recording")
    make_mels(folder / "source", folder / "store")
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy of that store, to be damaged."""
    shutil.copytree(made / "store", tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture(scope="session")
def expected(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """The digest of an undisturbed run of `run_command`."""
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    result = finished(run_command(clips, store))
    assert result.returncode == 0, result.stderr
    return LatentStore(store).manifest.content_digest
