"""Listing folders, globs, lists and manifests."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.source import SourceError, list_source
from pipeline.source_spec import SourceSpec


def names(path: str | tuple[str, ...], **settings: object) -> list[str]:
    return list_source(SourceSpec(path=path, **settings)).items["_item"].to_pylist()


def touch(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_a_folder_is_scanned_recursively_and_what_is_not_media_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "b.wav", "a/z.FLAC", "a/notes.txt", "clip.mp4", ".hidden.wav", ".cache/x.wav", "README")
    listing = list_source(SourceSpec(path=str(tmp_path)))
    assert listing.items["_item"].to_pylist() == ["a/z.FLAC", "b.wav", "clip.mp4"]
    assert listing.items["_path"].to_pylist()[1] == str(tmp_path / "b.wav")
    assert listing.ignored == {".txt": 1, "(no extension)": 1}


def test_a_glob_names_items_below_the_folder_before_its_wildcards(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.wav", "x/2.wav", "y/3.wav", "y/3.flac")
    assert names(f"{tmp_path}/*/*.wav") == ["x/1.wav", "x/2.wav", "y/3.wav"]
    assert names(f"{tmp_path}/**/*.flac") == ["y/3.flac"]


def test_circles_of_links_are_walked_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.wav", "b/2.wav")
    (tmp_path / "a/up").symlink_to(tmp_path, target_is_directory=True)
    touch(tmp_path, "b/deep/3.wav")
    (tmp_path / "b/deep/up").symlink_to(tmp_path / "b", target_is_directory=True)
    (tmp_path / "b/other").symlink_to(tmp_path / "a", target_is_directory=True)
    assert names(str(tmp_path)) == ["a/1.wav", "b/2.wav", "b/deep/3.wav", "b/other/1.wav"]


def test_a_list_and_a_single_file(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.wav", "y/2.wav")
    assert names((f"{tmp_path}/y/2.wav", f"{tmp_path}/x/1.wav")) == ["x/1.wav", "y/2.wav"]
    assert names(f"{tmp_path}/y/2.wav") == ["2.wav"]


def test_a_file_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    touch(tmp_path, "take [1].wav")
    assert names(f"{tmp_path}/take [1].wav") == ["take [1].wav"]


ROWS = [
    {"path": "b.wav", "caption": 'a "b", c', "bpm": 90},
    {"path": "sub/a.wav", "caption": "line\nbreak", "bpm": None},
]


def write_manifest(folder: Path, kind: str) -> Path:
    path = folder / f"table.{kind}"
    if kind == "csv":
        path.write_text('path,caption,bpm\nb.wav,"a ""b"", c",90\nsub/a.wav,"line\nbreak",\n')
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_manifests_carry_their_columns_and_resolve_paths_against_themselves(tmp_path: Path, kind: str) -> None:
    listing = list_source(SourceSpec(path=str(write_manifest(tmp_path, kind))))
    assert listing.items.to_pylist() == [
        {"_item": "b.wav", "_path": str(tmp_path / "b.wav"), "_member": None, "caption": 'a "b", c', "bpm": 90},
        {
            "_item": "sub/a.wav",
            "_path": str(tmp_path / "sub/a.wav"),
            "_member": None,
            "caption": "line\nbreak",
            "bpm": None,
        },
    ]
    assert listing.metadata.names == ["caption", "bpm"]


def test_columns_can_be_chosen_and_ids_taken_from_one(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("file,key,caption,seed\na.wav,007,one,7\na.wav,08,two,8\n")
    spec = SourceSpec(path=str(path), path_column="file", id_column="key", columns=("caption",))
    assert list_source(spec).items.select(["_item", "caption"]).to_pylist() == [
        {"_item": "007", "caption": "one"},
        {"_item": "08", "caption": "two"},
    ]


def test_any_other_name_may_be_a_column(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("file,path,num_samples,failure,waveform\na.wav,x,1,2,3\n")
    carried = list_source(SourceSpec(path=str(path), path_column="file")).metadata.names
    assert carried == ["path", "num_samples", "failure", "waveform"]


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rows = [f"{n}.wav,{n}" for n in range(50)]
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("\n".join(["path,n", *rows]))
    random.Random(0).shuffle(rows)
    second.write_text("\n".join(["path,n", *rows]))
    assert list_source(SourceSpec(path=str(first))).items == list_source(SourceSpec(path=str(second))).items


def manifest(tmp_path: Path, text: str) -> str:
    path = tmp_path / "m.csv"
    path.write_text(text)
    return str(path)


def test_sources_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"does not exist; give a folder, glob, media file or manifest"):
        names(str(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match=r"no media files in .* \(found 1 \.txt\); looked for .*\.flac"):
        names(str(touch(tmp_path / "texts", "a.txt")))
    with pytest.raises(SourceError, match="no media files"):
        names(f"{tmp_path}/*.wav")
    with pytest.raises(SourceError, match="no column 'path'; it has file, caption"):
        names(manifest(tmp_path, "file,caption\na.wav,x\n"))
    with pytest.raises(SourceError, match="no column 'titel'"):
        names(manifest(tmp_path, "path,title\na.wav,x\n"), columns=("titel",))
    with pytest.raises(SourceError, match=r"column 'path' is empty in data row 2"):
        names(manifest(tmp_path, "path,n\na.wav,1\n,2\n"))
    with pytest.raises(SourceError, match=r"2 item\(s\) stand more than once .* 'a.wav'; set source.id_column"):
        names(manifest(tmp_path, "path,n\na.wav,1\na.wav,2\nb.wav,3\nb.wav,4\nc.wav,5\n"))
    with pytest.raises(SourceError, match="column 'seed' has a name that the store uses itself"):
        names(manifest(tmp_path, "path,seed\na.wav,1\n"))
    with pytest.raises(SourceError, match="cannot read the manifest"):
        names(manifest(tmp_path, "path,n\na.wav\nb.wav,1,2\n"))
    with pytest.raises(SourceError, match="column 'n' is empty in data row 2"):
        names(manifest(tmp_path, "path,n\na.wav,1\nb.wav,\n"), id_column="n")
    with pytest.raises(SourceError, match="column 'n' stands there more than once"):
        names(manifest(tmp_path, "path,n,n\na.wav,1,2\n"))
    with pytest.raises(SourceError, match="cannot read the table"):
        names(str(touch(tmp_path, "m.parquet") / "m.parquet"))


def test_a_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    (Path(str(tmp_path)) / "bad\udcff.wav").write_bytes(b"")
    with pytest.raises(SourceError, match=r"not valid UTF-8.*rename"):
        names(str(tmp_path))


def test_settings_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    for setting in ({"id_column": "x"}, {"columns": ("x",)}, {"path_column": "x"}, {"duration_column": "x"}):
        [name] = setting
        with pytest.raises(
            SourceError, match=rf"source\.{name}: .* is files without a manifest, where it means nothing"
        ):
            names(str(tmp_path), **setting)
    with pytest.raises(SourceError, match=r"source\.member_extension: .* is a manifest"):
        names(manifest(tmp_path, "path\na.wav\n"), member_extension="wav")


def test_one_manifest_is_read(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("path\nx.wav\n")
    for path in (f"{tmp_path}/*.csv", f"{tmp_path}/{{a,b}}.csv", (f"{tmp_path}/a.csv", f"{tmp_path}/b.csv")):
        with pytest.raises(SourceError, match=r"stands for several files, and '.*a\.csv' is a manifest; give one"):
            names(path)
    with pytest.raises(SourceError, match=r"the manifest '.*m\.csv' has no rows"):
        names(manifest(tmp_path, "path,n\n"))
    with pytest.raises(SourceError, match="cannot read the manifest"):
        names(manifest(tmp_path, ""))


def test_braces_stand_for_recordings_too(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.wav", "y/2.wav", "z/3.wav")
    assert names(f"{tmp_path}/{{x,y}}/*.wav") == ["x/1.wav", "y/2.wav"]


def test_a_path_that_nothing_opens_is_the_sources_fault() -> None:
    for path in ("nowhere://x/a.wav", "s3://key:hunter2@bucket/sounds"):
        with pytest.raises(SourceError, match=r"source\.path: .*(nothing opens|holds a user name)") as caught:
            names(path)
        assert "hunter2" not in str(caught.value)
