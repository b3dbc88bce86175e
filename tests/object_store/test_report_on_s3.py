"""A page of a store in a bucket, written into the bucket."""

from pathlib import Path
from typing import Any

import pytest

from jobs.report import write_report
from jobs.spec_error import SpecError
from tests.conftest import write_clips
from tests.jobs.report_page import page_of
from tests.jobs.stores import make_mels


def test_a_store_in_a_bucket_has_a_page(bucket: Any, tmp_path: Path) -> None:
    source, store = write_clips(tmp_path / "source", 3), f"{bucket.uri}/store"
    make_mels(source, store)
    done = write_report(store, f"{bucket.uri}/pages/store.html")
    page = bucket.read("pages/store.html")
    assert len(page) == done.num_bytes
    assert b"<h1>store</h1>" in page
    assert done.contents.num_map_sounds == len(done.contents.map_sounds) > 2
    with pytest.raises(SpecError, match="which is for the store's own files"):
        write_report(store, f"{store}/data/page.html")


def test_recordings_of_a_source_in_a_bucket_are_heard(bucket: Any, tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", 3)
    make_mels(f"{bucket.upload(clips, 'clips')}/captions.csv", tmp_path / "far")
    make_mels(clips / "captions.csv", tmp_path / "near")
    far, near = (page_of(tmp_path / name, tmp_path / f"{name}.html") for name in ("far", "near"))
    sounds = [{name: sound["uri"] for name, sound in page.data["map"]["sounds"].items()} for page in (far, near)]
    assert len(sounds[0]) > 2
    assert sounds[0] == sounds[1]
    bucket.proxy.add(method="GET", path=".*clips.*", times=10_000, status=403)
    page = page_of(tmp_path / "far", tmp_path / "refused.html")
    notes = {sound["note"] for sound in page.data["map"]["sounds"].values() if not sound["uri"]}
    assert notes == {"The recording cannot be read now: cannot open: no permission to read it"}
    assert not any(sound["uri"] for sound in page.data["map"]["sounds"].values())
