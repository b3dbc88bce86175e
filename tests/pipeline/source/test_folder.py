"""Folders of files, on disks and in object stores."""

from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from pipeline.source.folder import common_folder, relative_names, scan_folder
from pipeline.source.pattern import match_files
from pipeline.store import location
from pipeline.store.manifest import Manifest, save_manifest


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder of a disk, and one that is listed as object stores do."""
    if request.param == "disk":
        yield str(tmp_path)
        return
    uri = f"memory://folders-{tmp_path.name}"
    yield uri
    fsspec.filesystem("memory").rm(uri, recursive=True)


@pytest.fixture
def written(folder: str) -> Callable[..., None]:
    """Writes files of these names, and makes folders stores."""

    def write(*names: str, stores: tuple[str, ...] = ()) -> None:
        for name in names:
            location.atomic_write(location.join(folder, name), b"[]", durable=False)
        for store in stores:
            manifest = Manifest.start(kind="mel", identity="0", schema=pa.schema([]), environment={})
            save_manifest(location.join(folder, store), manifest)

    return write


def names_below(folder: str, **options: bool) -> list[str]:
    return sorted(relative_names(scan_folder(folder, **options), folder))


def test_stores_below_are_no_source(folder: str, written: Callable[..., None]) -> None:
    made = ["latents/data/part-0.parquet", "latents/index.parquet", "x/y/mel/data/part-0.parquet"]
    written("a.tar", "x/b.tar", "x/manifest.json", "x/y/latents.tar", ".h/c.tar", *made, stores=("latents", "x/y/mel"))
    seen = ["a.tar", "x/b.tar", "x/manifest.json", "x/y/latents.tar"]
    assert names_below(folder) == seen
    manifests = ["latents/manifest.json", "x/y/mel/manifest.json"]
    assert names_below(folder, everything=True) == sorted([*seen, ".h/c.tar", *made, *manifests])
    assert match_files(location.join(folder, "**/*.parquet")) == []


def test_files_of_a_store_can_be_asked_for(folder: str, written: Callable[..., None]) -> None:
    written("latents/data/part-0.parquet", "latents/index.parquet", stores=("latents",))
    assert names_below(location.join(folder, "latents")) == ["data/part-0.parquet", "index.parquet", "manifest.json"]
    part = location.join(folder, "latents/data/part-0.parquet")
    assert match_files(location.join(folder, "*/data/*.parquet")) == [part]
    assert match_files(location.join(folder, "latents/**/part-*.parquet")) == [part]


@pytest.mark.parametrize(
    "files",
    [
        ["/tmp/x/a.wav", "http://host/b.wav"],
        ["s3://one/k/a.wav", "s3://two/k/a.wav"],
        ["s3://bucket/a.wav", "gs://bucket/a.wav"],
    ],
)
def test_files_without_a_common_folder_are_called_what_they_are(files: list[str]) -> None:
    assert common_folder(files) == ""
    assert relative_names(files, "") == files
