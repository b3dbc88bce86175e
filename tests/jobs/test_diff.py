"""What `diff` says of two stores."""

import json
from pathlib import Path

import pytest

from jobs.diff import describe_difference, diff_stores
from jobs.spec_error import SpecError
from pipeline.store import LatentStore
from tests.conftest import write_clips
from tests.jobs.command import latentmill
from tests.jobs.stores import change_tensor, make_mels


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source of five recordings and its store `a`."""
    folder = tmp_path_factory.mktemp("diff")
    write_clips(folder / "source", 5)
    make_mels(folder / "source", folder / "a")
    return folder


def test_the_same_content_in_other_files_is_equal(stores: Path, tmp_path: Path) -> None:
    make_mels(stores / "source", tmp_path / "b", placement={"units_per_block": 3})
    found = diff_stores(str(stores / "a"), str(tmp_path / "b"))
    assert found.equal
    assert found.content_digests[0] == found.content_digests[1]
    assert found.running["placement.units_per_block"] == (4, 3)
    assert not found.spec
    text = describe_difference(found)
    assert f"the same {len(LatentStore(stores / 'a'))} units with the same content, digest " in text
    assert "placement.units_per_block: 4 → 3" in text


def test_another_spec_other_units_and_other_values(stores: Path, tmp_path: Path) -> None:
    write_clips(tmp_path / "source", 5)
    (tmp_path / "source/high/clip_000.wav").unlink()
    write_clips(tmp_path / "more", 6)
    (tmp_path / "more/low/clip_005.flac").rename(tmp_path / "source/low/clip_005.flac")
    mel = {"preset": "audioldm2", "peak": 0.25}
    make_mels(tmp_path / "source", tmp_path / "b", mel=mel)
    found = diff_stores(str(stores / "a"), str(tmp_path / "b"), limit=3)
    first, second = (set(LatentStore(store).ids.to_pylist()) for store in (stores / "a", tmp_path / "b"))
    assert found.num_only == (len(first - second), len(second - first))
    assert found.only[0] == sorted(first - second)[:5]
    assert found.num_both == found.num_different == len(first & second)
    assert found.num_compared == 3
    assert found.spec["mel.peak"] == (0.5, 0.25)
    mels = found.values.tensors["mel"]
    assert mels.num_rows == 3
    assert mels.max_abs > 0.5  # ln 2, but where the floor cuts it off
    assert 0 < mels.rms < mels.max_abs
    text = describe_difference(found)
    for expected in ("they differ", "mel.peak: 0.5 → 0.25", "only in A", "only in B", "values of the first 3 compared"):
        assert expected in text


def test_one_value_in_one_row(stores: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(stores / "a", tmp_path / "b")
    name = LatentStore(tmp_path / "b").ids[4].as_py()
    change_tensor(tmp_path / "b", name, 1.0)
    found = diff_stores(str(stores / "a"), str(tmp_path / "b"))
    assert found.different == [name]
    assert found.values.tensors["mel"].max_abs == pytest.approx(1.0, abs=0.01)
    assert found.values.columns == {}
    assert f"differ       1 of the units in both: {name}\n" in describe_difference(found)


def test_metadata_that_differs(stores: Path, tmp_path: Path) -> None:
    manifest = write_clips(tmp_path / "source", 3) / "captions.csv"
    make_mels(manifest, tmp_path / "a")
    manifest.write_text(manifest.read_text().replace("number 1", "number one"))
    make_mels(manifest, tmp_path / "b")
    found = diff_stores(str(tmp_path / "a"), str(tmp_path / "b"))
    assert found.values.columns == {"caption": found.num_different}
    assert not any(tensor.num_rows for tensor in found.values.tensors.values())
    found = diff_stores(str(stores / "a"), str(tmp_path / "a"))
    assert found.columns == {"caption": (None, "string"), "category": (None, "string")}


def test_what_is_no_store(stores: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not a store"):
        diff_stores(str(stores / "a"), str(tmp_path))


def test_the_command_line(stores: Path, tmp_path: Path) -> None:
    same = latentmill("diff", stores / "a", stores / "a")
    assert same.returncode == 0, same.stderr
    make_mels(stores / "source", tmp_path / "b", seed=5)
    other = latentmill("diff", stores / "a", tmp_path / "b", "--json")
    assert other.returncode == 4
    assert json.loads(other.stdout)["spec"] == {"seed": [0, 5]}
    assert latentmill("diff", stores / "a", tmp_path / "nowhere").returncode == 2


def test_units_that_differ_are_named_though_no_values_are_compared(stores: Path, tmp_path: Path) -> None:
    make_mels(stores / "source", tmp_path / "b", mel={"preset": "audioldm2", "peak": 0.25})
    found = diff_stores(str(stores / "a"), str(tmp_path / "b"), limit=0)
    assert found.num_compared == 0
    assert len(found.different) == 5
