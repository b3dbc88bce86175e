"""The manifest survives the disk and says so when it does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.store.manifest import Manifest, Totals, check_manifest_seal, load_manifest, save_manifest


@pytest.fixture
def manifest(moments: Any) -> Manifest:
    return Manifest.start(kind="encode", identity="ab" * 32, schema=moments.schema(), environment={"torch": "2.11.0"})


def test_round_trip(tmp_path: Path, manifest: Manifest) -> None:
    later = manifest.revise(state="complete", totals=Totals(num_units=3, audio_seconds=4.5), content_digest="cd")
    save_manifest(str(tmp_path), later)
    assert load_manifest(str(tmp_path)) == later
    assert later.created == manifest.created
    assert later.updated >= manifest.updated
    assert {column.name: column.shape for column in later.columns}["latent_mean"] == (4, 6)
    assert '"schema": [' in (tmp_path / "manifest.json").read_text()


def test_revision_is_checked(manifest: Manifest) -> None:
    with pytest.raises(ValidationError, match="finished"):
        manifest.revise(state="finished")
    with pytest.raises(ValidationError, match="colour"):
        manifest.revise(colour="red")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        load_manifest(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe"])
def test_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest\.json is not a manifest of latentmill"):
        load_manifest(str(tmp_path))


def test_newer_format(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format_version": 99, "surprise": true}')
    with pytest.raises(ValueError, match="has format version 99; this latentmill reads up to 1"):
        load_manifest(str(tmp_path))


def test_any_flip_in_it_is_found(tmp_path: Path, manifest: Manifest) -> None:
    save_manifest(str(tmp_path), manifest)
    path = tmp_path / "manifest.json"
    whole = path.read_bytes()
    assert check_manifest_seal(str(tmp_path)) == "intact"
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << position % 8]) + whole[position + 1 :])
        assert check_manifest_seal(str(tmp_path)) == "broken"
    path.write_bytes(whole[:-5])
    assert check_manifest_seal(str(tmp_path)) == "broken"


def test_one_of_an_older_version_has_no_checksum(tmp_path: Path, manifest: Manifest) -> None:
    save_manifest(str(tmp_path), manifest)
    path = tmp_path / "manifest.json"
    values = json.loads(path.read_text())
    del values["checksum"]
    path.write_text(json.dumps(values))
    assert check_manifest_seal(str(tmp_path)) == "absent"
    assert load_manifest(str(tmp_path)).identity == manifest.identity
