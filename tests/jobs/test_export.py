"""Sounds of a store as files, under names that stay in their folder."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.export import export_store, file_name
from jobs.load import load_job
from jobs.spec_error import SpecError
from pipeline.store import LatentStore
from tests.jobs.command import latentmill
from tests.jobs.stores import run_in_a_loop


@pytest.fixture(scope="module")
def sounds(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of sounds that went through a mel."""
    store = tmp_path_factory.mktemp("export") / "store"
    settings = ["model=null", "methods=[griffin_lim]", "griffin_lim.num_iterations=0", "segment.length_seconds=1.0"]
    run_in_a_loop(load_job("reconstruct_audioldm2", [f"source.path={clips}", f"output={store}", *settings]))
    return store


def test_every_sound_is_a_file(sounds: Path, tmp_path: Path) -> None:
    done = export_store(str(sounds), str(tmp_path / "out"))
    store = LatentStore(sounds)
    assert (done.num_files, done.columns) == (2 * len(store), ("original", "griffin_lim"))
    files = list((tmp_path / "out").rglob("*.flac"))
    assert len(files) == done.num_files
    assert sum(file.stat().st_size for file in files) == done.num_bytes
    row = store.by_id("high/clip_000.wav#0")
    assert (tmp_path / "out/griffin_lim/high/clip_000.wav#0.flac").read_bytes() == row["griffin_lim"]["bytes"]


def test_wav_holds_the_same_samples(sounds: Path, tmp_path: Path) -> None:
    result = latentmill("export", sounds, "--to", tmp_path, "--column", "original", "--wav")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{len(LatentStore(sounds))} files (original), ")
    row = LatentStore(sounds).by_id("high/clip_000.wav#0")
    expected, rate = soundfile.read(io.BytesIO(row["original"]["bytes"]), dtype="int16")
    samples, wav_rate = soundfile.read(tmp_path / "original/high/clip_000.wav#0.wav", dtype="int16")
    assert rate == wav_rate
    assert np.array_equal(samples, expected)


def test_one_unit_is_shown_without_its_bytes(sounds: Path) -> None:
    shown = latentmill("show", sounds, "high/clip_000.wav#0").stdout
    assert "16000 Hz  1 channel(s)" in shown
    assert len(shown) < 2000


def test_a_file_uri_is_its_folder(sounds: Path, tmp_path: Path) -> None:
    done = export_store(str(sounds), f"file://{tmp_path}/out", columns=["original"])
    assert len(list((tmp_path / "out").rglob("*.flac"))) == done.num_files == len(LatentStore(sounds))
    with pytest.raises(SpecError, match="can only be read"):
        export_store(str(sounds), "https://host/out")


def test_long_names_are_cut_and_stay_apart() -> None:
    first, second = file_name("é" * 200 + "#0"), file_name("é" * 200 + "#1")
    assert first != second
    assert max(len(first.encode()), len(second.encode())) <= 220


@pytest.mark.parametrize(
    ("sample_id", "name"),
    [
        ("a/b.wav#0", "a/b.wav#0"),
        ("../../etc/passwd#0", "_./_./etc/passwd#0"),
        ("/abs/./x#1", "abs/x#1"),
        ("s3://bucket/x#0", "s3:/bucket/x#0"),
        (".hidden#0", "_hidden#0"),
        ("a\\..\\b", "a/_./b"),
        ("..", "_."),
        ("/", "_"),
    ],
)
def test_names_lead_nowhere_else(sample_id: str, name: str) -> None:
    assert file_name(sample_id) == name


def test_what_cannot_be_exported(sounds: Path, store: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"holds no sounds called vocoder; there are original, griffin_lim"):
        export_store(str(sounds), str(tmp_path), columns=["vocoder"])
    with pytest.raises(SpecError, match=r"holds no sounds; its columns are sample_id"):
        export_store(str(store), str(tmp_path))
    with pytest.raises(SpecError, match="not a store"):
        export_store(str(tmp_path / "nowhere"), str(tmp_path))
