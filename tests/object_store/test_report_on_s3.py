"""A page of a store in a bucket, written into the bucket."""

from pathlib import Path
from typing import Any

import pytest

from jobs.report import write_report
from jobs.spec_error import SpecError
from tests.conftest import write_clips
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
