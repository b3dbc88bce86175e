"""WebDataset shards as sources."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import webdataset

from pipeline.source import SourceError, list_source
from pipeline.source_spec import SourceSpec
from pipeline.store.manifest import Manifest, save_manifest

Shard = Callable[..., Path]
Rows = Callable[..., list[dict[str, Any]]]


def listing_of(path: object, **settings: Any) -> Any:
    return list_source(SourceSpec(path=path, **settings))


def errors(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["_item"]: row["_error"] for row in rows if row["_error"] is not None}


def content(row: dict[str, Any]) -> bytes:
    offset, length = map(int, row["_member"].removeprefix("bytes:").split("+"))
    return Path(row["_path"]).read_bytes()[offset : offset + length]


def test_samples_are_read_in_place_with_what_describes_them(shard: Shard, listed: Rows) -> None:
    path = shard(
        {
            "a/ü 1.flac": b"first",
            "a/ü 1.json": {"bpm": 90, "tags": ["x"], "nested": {"k": 1.5}},
            "a/ü 1.txt": "rain\n",
            "a/ü 1.cls": "3",
            "a/2.MP3": b"second",
            "a/2.json": {"bpm": None, "nested": {"m": True}},
        }
    )
    first, second = sorted(listed(str(path)), key=lambda row: str(row["_member"]))
    assert (content(first), content(second)) == (b"first", b"second")
    assert (first["_item"], second["_item"]) == ("shard.tar/a/ü 1.flac", "shard.tar/a/2.MP3")
    assert {name: first[name] for name in first if name[0] != "_"} == {
        "bpm": 90,
        "nested": {"k": 1.5, "m": None},
        "tags": ["x"],
        "text": "rain\n",
        "cls": 3,
    }
    assert (second["bpm"], second["nested"], second["tags"]) == (None, {"k": None, "m": True}, None)
    assert (second["text"], second["cls"], second["_error"]) == (None, None, None)


def test_samples_are_those_that_webdataset_sees(tmp_path: Path, listed: Rows) -> None:
    with webdataset.ShardWriter(str(tmp_path / "s-%02d.tar"), maxcount=7, verbose=0) as writer:
        for number in range(20):
            sample = {"__key__": f"x.d/{number:03d}", "flac": bytes([number]) * number, "json": {"n": number}}
            writer.write(sample | {"txt": f"sound {number}", "spec.npy": b"0"})
    files = sorted(map(str, tmp_path.glob("*.tar")))
    theirs = [
        (sample["__key__"], sample["flac"], sample["txt"].decode())
        for sample in webdataset.WebDataset(files, shardshuffle=False)
    ]
    ours = [(row["_item"], content(row), row["text"]) for row in listed(f"{tmp_path}/s-{{00..02}}.tar")]
    assert [key for key, *_ in ours] == [f"s-{n // 7:02d}.tar/{key}.flac" for n, (key, *_) in enumerate(theirs)]
    assert [row[1:] for row in ours] == [row[1:] for row in theirs]


def test_shards_by_folder_pattern_list_and_file_are_the_same_items(shard: Shard, listed: Rows, tmp_path: Path) -> None:
    for number in range(3):
        shard({"k.wav": b"x", "k.json": {"n": number}}, f"set/part-{number:03d}.tar")
    (tmp_path / "set/README.md").touch()
    expected = [f"part-{number:03d}.tar/k.wav" for number in range(3)]
    paths = [str(tmp_path / f"set/part-{number:03d}.tar") for number in range(3)]
    for given in (f"{tmp_path}/set", f"{tmp_path}/set/*.tar", f"{tmp_path}/set/part-{{000..002}}.tar", tuple(paths)):
        rows = listed(given)
        assert [row["_item"] for row in rows] == expected
        assert [row["n"] for row in rows] == [0, 1, 2]
        assert [row["_path"] for row in rows] == paths
    assert [row["_item"] for row in listed(paths[1])] == expected[1:2]
    assert listing_of(f"{tmp_path}/set").ignored == {".md": 1}


def test_the_output_of_a_job_may_lie_among_its_shards(shard: Shard, tmp_path: Path) -> None:
    shard({"k.wav": b"x"}, "set/a.tar")
    before = listing_of(f"{tmp_path}/set")
    manifest = Manifest.start(kind="encode", identity="0", schema=pa.schema([]), environment={})
    save_manifest(f"{tmp_path}/set/latents", manifest)
    (tmp_path / "set/latents/index.parquet").touch()
    for path in (f"{tmp_path}/set", f"{tmp_path}/set/**"):
        listing = listing_of(path)
        assert (listing.items, listing.ignored) == (before.items, before.ignored)


def test_a_missing_shard_of_a_range_fails_by_name(shard: Shard, listed: Rows, tmp_path: Path) -> None:
    shard({"k.wav": b"x"}, "s-0.tar")
    assert errors(listed(f"{tmp_path}/s-{{0..1}}.tar")) == {
        "s-1.tar": "the shard cannot be read: No such file or directory"
    }


def test_a_sample_without_recording_and_members_without_use_are_counted(shard: Shard) -> None:
    path = shard({"1.wav": b"x", "1.jpg": b"", "2.txt": "no sound", "3.npy": b"", "LICENSE": b"", ".hidden.wav": b""})
    listing = listing_of(str(path))
    assert listing.items["_item"].to_pylist() == ["shard.tar/1.wav"]
    assert listing.ignored == {
        ".jpg": 1,
        ".npy": 1,
        "(no extension)": 1,
        "(hidden)": 1,
        "(sample without media)": 2,
    }


def test_which_of_several_recordings_has_to_be_said(shard: Shard, listed: Rows) -> None:
    path = str(shard({"1.left.wav": b"l", "1.right.wav": b"r", "1.txt": "t", "2.left.wav": b"L"}))
    with pytest.raises(
        SourceError, match=r"sample '1' in .* has 2 recordings, left.wav, right.wav; .*member_extension"
    ):
        listed(path)
    rows = listed(path, member_extension="left.wav")
    assert [(row["_item"], content(row), row["text"]) for row in rows] == [
        ("shard.tar/1.left.wav", b"l", "t"),
        ("shard.tar/2.left.wav", b"L", None),
    ]
    assert listing_of(path, member_extension=".right.wav").ignored == {".wav": 2, "(sample without media)": 1}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"2.json": "{"}, "'2.json' is not JSON"),
        ({"2.json": "[" * 100_000}, "'2.json' is not JSON"),
        ({"2.json": '{"caption": "rain \\ud83d"}'}, "'2.json' holds what is no Unicode text"),
        ({"2.json": '[{"\\udc00": 1}]'}, "'2.json' holds what is no Unicode text"),
        ({"2.txt": b"\xff\xfe"}, "'2.txt' is not UTF-8"),
        ({"2.txt": b" " * (16 << 20) + b" "}, "has 16,777,217 bytes; at most 16 MiB"),
    ],
)
def test_a_bad_description_costs_its_sample_alone(
    shard: Shard, listed: Rows, bad: dict[str, bytes | str], reason: str
) -> None:
    good = {"1.wav": b"x", "1.json": {"a": 1}, "3.wav": b"y", "3.json": {"a": 3}}
    rows = listed(str(shard({**good, "2.wav": b"z", **bad})))
    [(name, error)] = errors(rows).items()
    assert name == "shard.tar/2.wav"
    assert reason in error
    assert [row["a"] for row in rows] == [1, None, 3]
    assert next(row["_member"] for row in rows if row["_error"]) is None


def test_escapes_are_read(shard: Shard, listed: Rows) -> None:
    [row] = listed(str(shard({"1.wav": b"", "1.json": '{"caption": "\\ud83c\\udf27 \\\\ud83c"}'})))
    assert row["caption"] == "🌧 \\ud83c"


def test_hostile_members_cost_themselves_alone_and_give_no_item_their_name(shard: Shard, listed: Rows) -> None:
    link = tarfile.TarInfo("3.wav")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    rows = listed(str(shard({"1.wav": b"x", "../../2.wav": b"y", "/4.wav": b"z", "3.wav": link, "5.wav": b"v"})))
    assert [row["_item"] for row in rows] == [
        "shard.tar/1.wav",
        "shard.tar/3.wav",
        "shard.tar/5.wav",
        "shard.tar@1536",
        "shard.tar@2560",
    ]
    assert {name: reason.split(": ")[-1] for name, reason in errors(rows).items()} == {
        "shard.tar/3.wav": "it is a link to '/etc/passwd'; links are not followed",
        "shard.tar@1536": "its name leads out of the archive",
        "shard.tar@2560": "its name leads out of the archive",
    }


def test_a_member_that_stands_twice_costs_its_sample(shard: Shard, listed: Rows, tmp_path: Path) -> None:
    path = shard({"1.wav": b"x", "2.wav": b"y"})
    with tarfile.open(path, "a") as archive:
        for name in ("1.wav", "3.wav"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert errors(listed(str(path))) == {
        "shard.tar/1.wav": "member '1.wav' stands twice in the shard, at bytes 512 and 2,560"
    }
    assert tmp_path in path.parents


def test_a_cut_shard_is_one_failure_beside_what_lies_before_it(shard: Shard, listed: Rows) -> None:
    members: dict[str, Any] = {}
    for number in range(5):
        members |= {f"{number}.wav": b"x" * 2000, f"{number}.json": {"n": number}}
    path = shard(members)
    data = path.read_bytes()
    sample = 512 + 2048 + 512 + 512
    for length, whole in ((2 * sample + 600, 2), (3 * sample - 10, 2), (3 * sample + 2560, 3), (5 * sample, 4)):
        path.write_bytes(data[:length])
        rows = listed(str(path))
        assert [row["n"] for row in rows if row["_error"] is None] == list(range(whole))
        [(name, reason)] = errors(rows).items()
        assert name == "shard.tar"
        assert f"listed are the {whole} samples before '{whole}', which may be incomplete" in reason


@pytest.mark.parametrize("data", [b"", b"no tar at all" * 100, b"\x1f\x8b\x08\0" * 200])
def test_a_shard_that_is_none_is_one_failure(shard: Shard, listed: Rows, tmp_path: Path, data: bytes) -> None:
    shard({"1.wav": b"x"}, "a.tar")
    (tmp_path / "b.tar").write_bytes(data)
    rows = listed(str(tmp_path))
    assert [row["_item"] for row in rows] == ["a.tar/1.wav", "b.tar"]
    assert list(errors(rows)) == ["b.tar"]


def test_fields_of_no_one_type_are_carried_as_json_text_and_said(shard: Shard) -> None:
    path = shard(
        {"1.wav": b"", "1.json": {"a": 1, "b": {"c": 1}, "d": 2}, "2.wav": b"", "2.json": {"a": "x", "d": 0.5}}
    )
    listing = listing_of(str(path))
    assert listing.metadata.types == [pa.string(), pa.struct([("c", pa.int64())]), pa.float64()]
    assert listing.items["a"].to_pylist() == ["1", '"x"']
    assert listing.notes == ("source: the field 'a' of the samples has no one type, and is carried as JSON text",)


def test_json_that_is_no_object_is_a_column_of_its_own(shard: Shard) -> None:
    path = shard({"1.wav": b"", "1.json": '["x", "y"]', "2.wav": b"", "2.json": "[]"})
    assert listing_of(str(path)).items["json"].to_pylist() == [["x", "y"], []]


def test_a_field_called_text_does_not_hide_the_text(shard: Shard) -> None:
    path = shard({"1.wav": b"", "1.json": {"text": "from json"}, "1.txt": "from txt", "1.cls": "0.5"})
    listing = listing_of(str(path))
    [row] = listing.items.to_pylist()
    assert (row["text"], row["txt"], row["cls"]) == ("from json", "from txt", "0.5")
    assert "so .txt members are 'txt'" in listing.notes[0]
    clash = shard({"1.wav": b"", "1.json": {"text": "", "txt": ""}, "1.txt": ""}, "clash.tar")
    with pytest.raises(SourceError, match=r"fields .text. and .txt., and there are \.txt members"):
        listing_of(str(clash))


def test_columns_do_not_depend_on_the_order_of_shards_or_samples(shard: Shard) -> None:
    one, two = {"b": 1, "a": {"y": 1}}, {"a": {"x": None, "y": 2.5}, "c": "t"}
    forth = shard({"1.wav": b"", "1.json": one, "2.wav": b"", "2.json": two}, "forth.tar")
    back = shard({"2.wav": b"", "2.json": two, "1.wav": b"", "1.json": one}, "back.tar")
    assert listing_of(str(forth)).metadata == listing_of(str(back)).metadata


def test_names_durations_and_columns_can_come_from_the_json(shard: Shard, listed: Rows) -> None:
    path = str(shard({"1.wav": b"", "1.json": {"id": 7, "seconds": 1.5, "seed": 1, "x": "y"}, "../2.wav": b""}))
    with pytest.raises(SourceError, match="column 'seed' has a name that the store uses itself"):
        listed(path)
    good, failed = listed(path, id_column="id", duration_column="seconds", columns=("x",))
    assert (good["_item"], good["_duration_seconds"], good["x"], "id" in good) == ("7", 1.5, "y", False)
    assert (failed["_item"], failed["_duration_seconds"]) == ("shard.tar@2048", None)
    with pytest.raises(SourceError, match="no column 'titel'; it has id, seconds, seed, x"):
        listed(path, columns=("titel",))


@pytest.mark.parametrize("name", ["s.tar.gz", "s.tgz", "s.tar.zst"])
def test_compressed_shards_are_refused_with_what_to_do(shard: Shard, tmp_path: Path, name: str) -> None:
    shard({"1.wav": b"x"}, name)
    for path in (f"{tmp_path}/{name}", f"{tmp_path}/s.t*", str(tmp_path)):
        with pytest.raises(SourceError, match=r"is a compressed archive, .* decompress it to a .tar"):
            listing_of(path)


def test_shards_beside_something_else(shard: Shard, tmp_path: Path) -> None:
    shard({"1.wav": b"x"}, "a.tar")
    (tmp_path / "b.wav").touch()
    with pytest.raises(SourceError, match=r"beside something else, such as '.*a.tar' and '.*b.wav'"):
        listing_of(f"{tmp_path}/*")
    listing = listing_of(str(tmp_path))  # in a folder of recordings, an archive is something else that lies there
    assert (listing.items["_item"].to_pylist(), listing.ignored) == (["b.wav"], {".tar": 1})
    with pytest.raises(SourceError, match=r"source.path_column: .* is tar shards, where it means nothing"):
        listing_of(str(tmp_path / "a.tar"), path_column="file")


def test_a_shard_of_many_members(tmp_path: Path, listed: Rows) -> None:
    with tarfile.open(tmp_path / "many.tar", "w") as archive:
        for number in range(10_000):
            for name, data in ((f"{number}.wav", b"x"), (f"{number}.json", b'{"n": %d}' % number)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    rows = listed(str(tmp_path / "many.tar"))
    assert sorted(row["n"] for row in rows) == list(range(10_000))
    assert all(row["_item"] == f"many.tar/{row['n']}.wav" for row in rows)
