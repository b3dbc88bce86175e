"""A store as the source of another job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.source import SourceError, list_source
from pipeline.source_spec import SourceSpec
from pipeline.store.manifest import Manifest, load_manifest, save_manifest
from pipeline.store.schema import content_schema, store_schema
from pipeline.store.writer import PartWriter
from workers.media.media_file import MediaFile
from workers.tensor_column import TensorColumn

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CARRIED = [pa.field("caption", pa.string()), pa.field("audio", AUDIO)]


def write_store(folder: Path, *parts: range, columns: list[pa.Field] = CARRIED, state: str = "complete") -> Path:
    """A store of units with audio, a caption and a tensor, in these parts."""
    tensor = TensorColumn(name="latent_mean", shape=(2, 2), dtype="float16", description="Mean.")
    schema = store_schema([tensor], pa.schema(columns), variable_length=False)
    manifest = Manifest.start(kind="reconstruct", identity="0", schema=schema, environment={})
    save_manifest(str(folder), manifest.revise(state=state))
    writer = PartWriter(str(folder), schema, durable=False)
    for part in parts:
        values: dict[str, Any] = {
            "sample_id": [f"clip.wav#{number}" for number in part],
            "source": ["clip.wav"] * len(part),
            "start_seconds": [float(number) for number in part],
            "caption": [f"sound {number}" for number in part],
            "audio": [{"bytes": b"fLaC%d" % number, "path": f"{number}.flac"} for number in part],
            "second": [{"bytes": b"2", "path": None}] * len(part),
            "latent_mean": [bytes(8)] * len(part),
        }
        for field in content_schema(schema):
            values.setdefault(field.name, [1] * len(part))
        writer.commit(pa.table({name: values[name] for name in schema.names if name in values}, content_schema(schema)))
    return folder


def listing_of(path: object, **settings: Any) -> Any:
    return list_source(SourceSpec(path=path, **settings))


def test_units_are_items_that_are_read_in_place(tmp_path: Path, listed: Callable[..., list[dict[str, Any]]]) -> None:
    store = write_store(tmp_path / "store", range(3, 6), range(3))
    rows = listed(str(store))
    assert [row["_item"] for row in rows] == [f"clip.wav#{number}" for number in range(6)]
    for number, row in enumerate(rows):
        with MediaFile(row["_path"], row["_member"]) as file:
            assert file.read_at(0, file.size) == b"fLaC%d" % number
        assert row["caption"] == f"sound {number}"
        assert row["_group"] == f"{row['_path']}:0"
    listing = listing_of(str(store))
    assert listing.metadata.names == ["caption"]
    assert listing.notes == ()
    assert listing_of(str(store), columns=()).metadata.names == []


def test_a_unit_in_two_parts_is_one_item(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", range(3), range(2, 5))
    assert listing_of(str(store)).items["_item"].to_pylist() == [f"clip.wav#{number}" for number in range(5)]


def test_an_unfinished_store_says_so(tmp_path: Path) -> None:
    [note] = listing_of(str(write_store(tmp_path / "store", range(3), state="interrupted"))).notes
    assert "is interrupted, not complete; its 3 units are read" in note


def test_stores_that_cannot_be_read_from_say_what_they_hold(tmp_path: Path, store: Path) -> None:
    with pytest.raises(
        SourceError, match=r"is a store of latent_mean, latent_logvar, and no audio .*source\.path in .*job\.yaml"
    ):
        listing_of(str(store))
    with pytest.raises(SourceError, match="holds no units yet; run its job first"):
        listing_of(str(write_store(tmp_path / "empty")))
    two = write_store(tmp_path / "two", range(2), columns=[*CARRIED, pa.field("second", AUDIO)])
    with pytest.raises(SourceError, match=r"columns audio, second of .* hold audio; choose in source\.audio_column"):
        listing_of(str(two))
    assert listing_of(str(two), audio_column="second").items["_member"][0].as_py() == "row:second.bytes:0:0"
    with pytest.raises(SourceError, match="its column 'caption' is no audio"):
        listing_of(str(two), audio_column="caption")
    with pytest.raises(SourceError, match=r"source\.id_column: .* is a store, where it means nothing"):
        listing_of(str(two), id_column="caption")


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    folder = write_store(tmp_path / "store", range(3))
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"format_version": ', '"format_version": 99'))
    with pytest.raises(SourceError, match=r"has format version 99\d*; this latentmill reads up to"):
        listing_of(str(folder))


def test_a_folder_with_another_manifest_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    for text in ("[]", "{}", "no json", "[" * 100_000):
        (tmp_path / "manifest.json").write_text(text)
        assert listing_of(str(tmp_path)).items["_item"].to_pylist() == ["a.wav"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of latents, as jobs make them."""
    schema = store_schema(
        [
            TensorColumn(name=name, shape=(2,), dtype="float16", description="x")
            for name in ("latent_mean", "latent_logvar")
        ],
        pa.schema([]),
        variable_length=False,
    )
    folder = tmp_path / "latents"
    save_manifest(str(folder), Manifest.start(kind="encode", identity="0", schema=schema, environment={}))
    names = content_schema(schema).names
    values: dict[str, Any] = {name: [1] for name in names}
    values |= {"sample_id": ["a"], "source": ["a"], "latent_mean": [b"1234"], "latent_logvar": [b"1234"]}
    PartWriter(str(folder), schema, durable=False).commit(pa.table(values, content_schema(schema)))
    assert load_manifest(str(folder)).kind == "encode"
    return folder
