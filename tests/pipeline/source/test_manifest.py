"""Manifests: their paths, durations and size."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pipeline.source import SourceError, list_source
from pipeline.source.manifest import resolve_paths
from pipeline.source_spec import SourceSpec

Rows = Callable[..., list[dict[str, Any]]]


def manifest(folder: Path, text: str, name: str = "m.csv") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Callable[[str, str], str]]:
    """Writes a file at a URI."""
    store, root = fsspec.filesystem("memory"), f"/manifests-{tmp_path.name}"

    def write(name: str, text: str) -> str:
        store.pipe_file(f"{root}/{name}", text.encode())
        return f"memory:/{root}/{name}"

    yield write
    store.rm(root, recursive=True)


def resolved(folder: str, *paths: str) -> list[str]:
    column = pa.chunked_array([pa.array(paths[:1]), pa.array(paths[1:], pa.string())])
    return list(resolve_paths(column, folder, where="m.csv").to_pylist())


def test_paths_are_seen_from_the_folder_and_whole_ones_stay() -> None:
    paths = ["a.wav", "x/y.wav", "/data/z.wav", "s3://bucket/b.wav", "c.wav", "https://host/d.wav?v=1", "../e.wav", ""]
    assert resolved("/here", *paths) == [
        "/here/a.wav",
        "/here/x/y.wav",
        "/data/z.wav",
        "s3://bucket/b.wav",
        "/here/c.wav",
        "https://host/d.wav?v=1",
        "/here/../e.wav",
        "/here/",
    ]
    assert resolved("/", "a.wav") == ["/a.wav"]
    assert resolved("s3://b/x", "a.wav", "../c.wav", "./d//e.wav", "gs://o/f") == [
        "s3://b/x/a.wav",
        "s3://b/c.wav",
        "s3://b/x/d/e.wav",
        "gs://o/f",
    ]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("s3://KEY:hunter2@bucket/a.wav", "holds a user name or key"),
        ("https://host/a.wav?X-Amz-Signature=hunter2", "holds a secret in the parameter"),
        ("nowhere://a/b", "nothing opens nowhere://"),
    ],
)
def test_paths_with_credentials_are_refused_and_not_repeated(tmp_path: Path, path: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        list_source(SourceSpec(path=manifest(tmp_path, f"path\nx.wav\n{path}\n")))
    assert "hunter2" not in str(caught.value)


def test_parameters_of_paths_on_the_web_are_looked_at() -> None:
    assert resolved("https://host/x", "a.wav?v=1", "b.wav") == ["https://host/x/a.wav?v=1", "https://host/x/b.wav"]
    with pytest.raises(SourceError, match="a secret in the parameter 'token'"):
        resolved("https://host/x", "a.wav?token=hunter2")


def test_whole_paths_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    monkeypatch.setattr("pipeline.source.manifest.check_uri", looked_at.append)
    numbers = range(1000)
    places = ("/data", "s3://one", "s3://two", "gs://one/x")
    paths = [f"{place}/{number}.wav" for number in numbers for place in places]
    assert resolved("/here", *paths) == paths
    assert sorted(set(looked_at)) == ["gs://one/", "s3://one/", "s3://two/"]
    assert len(looked_at) <= 6
    assert resolved("/here", "a.wav", *paths, "http://host:80/x") == ["/here/a.wav", *paths, "http://host:80/x"]
    assert resolved("s3://b/y", "z.wav", "s3://one/x.wav") == ["s3://b/y/z.wav", "s3://one/x.wav"]


def test_what_is_missing_stays_missing() -> None:
    for paths in ([None, "/a"], [None, "a"], [None, "s3://b/c", "a", "http://h/?x"], [None, None]):
        column = pa.chunked_array([pa.array(paths, pa.string())])
        found = resolve_paths(column, "/here", where="m.csv").to_pylist()
        assert [path is None for path in found] == [path is None for path in paths]
    assert resolve_paths(pa.chunked_array([], pa.string()), "/here", where="m.csv").to_pylist() == []


def test_paths_that_lead_out_of_their_store_are_refused() -> None:
    with pytest.raises(SourceError, match=r"m\.csv: .*leads out of s3://b"):
        resolved("s3://b/x", "../../../c.wav")
    with pytest.raises(SourceError, match="is a path of this machine"):
        resolved("s3://b/x", "/etc/passwd")


def test_a_manifest_at_a_uri_names_files_beside_it(in_memory: Callable[[str, str], str], listed: Rows) -> None:
    uri = in_memory("sub/m.csv", "path,n\na.wav,1\n../b.wav,2\n/abs.wav,3\n"[:-11])
    folder = uri.removesuffix("/sub/m.csv")
    assert [(row["_item"], row["_path"], row["n"]) for row in listed(uri)] == [
        ("../b.wav", f"{folder}/b.wav", 2),
        ("a.wav", f"{folder}/sub/a.wav", 1),
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_manifest_at_an_address_with_a_query(
    tmp_path: Path, listed: Rows, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / f"m.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"path": ["a.wav"]}), path)
    else:
        path.write_text("path\na.wav\n" if kind == "csv" else '{"path": "a.wav"}\n')
    for module in ("manifest", "audio_table"):
        monkeypatch.setattr(f"pipeline.source.{module}.open_file", lambda _: path.open("rb"))
    [row] = listed(f"https://host/x/m.{kind}?download=true")
    assert row["_path"] == "https://host/x/a.wav"


def test_folders_lists_and_files_at_uris(in_memory: Callable[[str, str], str], listed: Rows) -> None:
    names = ["x/a.wav", "x/b/c.flac", "x/notes.txt", "x/.hidden/d.wav"]
    uris = [in_memory(name, "x") for name in names]
    folder = uris[0].removesuffix("/a.wav")
    rows = listed(folder)
    assert [(row["_item"], row["_path"]) for row in rows] == [("a.wav", uris[0]), ("b/c.flac", uris[1])]
    assert listed(f"{folder}/**/*.flac")[0]["_item"] == "b/c.flac"
    assert [row["_item"] for row in listed((uris[1], uris[0]))] == ["a.wav", "b/c.flac"]
    assert [row["_item"] for row in listed(uris[1])] == ["c.flac"]
    with pytest.raises(SourceError, match="does not exist"):
        listed(f"{folder}/nowhere")


def test_folders_on_the_web_cannot_be_listed() -> None:
    with pytest.raises(SourceError, match="wildcards, and folders on the web cannot be listed"):
        list_source(SourceSpec(path="https://localhost:1/*.wav"))
    with pytest.raises(SourceError, match=r"does not exist; .*; a folder on the web cannot be listed"):
        list_source(SourceSpec(path="https://localhost:1/sounds/"))


def test_durations_are_taken_from_a_column(tmp_path: Path, listed: Rows) -> None:
    path = manifest(tmp_path, "path,seconds,duration_seconds\nb.wav,2,x\na.wav,1.25,y\n")
    rows = listed(path, duration_column="seconds", columns=())
    assert rows == [
        {"_item": "a.wav", "_path": f"{tmp_path}/a.wav", "_member": None, "_duration_seconds": 1.25},
        {"_item": "b.wav", "_path": f"{tmp_path}/b.wav", "_member": None, "_duration_seconds": 2.0},
    ]
    for bad in ("0", "-1", "", "nan", "inf"):
        bad_path = manifest(tmp_path, f"path,seconds\nb.wav,2\na.wav,{bad}\n")
        with pytest.raises(SourceError, match=r"column 'seconds' is no duration above 0 seconds in data row 2"):
            listed(bad_path, duration_column="seconds")
    with pytest.raises(SourceError, match=r"'seconds' is string; source\.duration_column takes numbers"):
        listed(manifest(tmp_path, "path,seconds\na.wav,1:30\n"), duration_column="seconds")


def test_types_that_the_beginning_does_not_show_are_found(tmp_path: Path, listed: Rows) -> None:
    lines = [f"{number:06d}.wav,{number},," for number in range(60_000)]
    lines[-1] = "last.wav,unknown,0.5,here"
    rows = listed(manifest(tmp_path, "path,n,x,late\n" + "\n".join(lines) + "\n"))
    assert (rows[0]["n"], rows[0]["x"], rows[0]["late"]) == ("0", None, "")
    assert (rows[-1]["n"], rows[-1]["x"], rows[-1]["late"]) == ("unknown", 0.5, "here")


def test_a_long_line_is_read(tmp_path: Path, listed: Rows) -> None:
    [row] = listed(manifest(tmp_path, f"path,caption\na.wav,{'x' * (5 << 20)}\n"))
    assert len(row["caption"]) == 5 << 20


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_large_manifests_are_listed_as_small_ones_are(tmp_path: Path, kind: str) -> None:
    numbers = list(range(200_000))
    random.Random(0).shuffle(numbers)
    table = pa.table(
        {"path": [f"{n:06d}.wav" for n in numbers], "n": numbers, "tag": [f"tag {n % 7}" for n in numbers]}
    )
    path = tmp_path / f"m.{kind}"
    if kind == "csv":
        pa.csv.write_csv(table, path)
    else:
        pq.write_table(table, path, row_group_size=30_000)
    items = list_source(SourceSpec(path=str(path))).items
    assert items["n"].to_pylist() == list(range(200_000))
    assert items["_item"].to_pylist() == [f"{n:06d}.wav" for n in range(200_000)]
    assert items["_path"].to_pylist() == [f"{tmp_path}/{n:06d}.wav" for n in range(200_000)]
    assert items["tag"].to_pylist() == [f"tag {n % 7}" for n in range(200_000)]


def test_repeated_names_are_found_wherever_they_stand(tmp_path: Path, listed: Rows) -> None:
    names = [f"{number}.wav" for number in range(1000)]
    for first, second in ((0, 999), (500, 501), (3, 4)):
        twice = list(names)
        twice[second] = twice[first]
        with pytest.raises(SourceError, match=rf"1 item\(s\) stand more than once in .*, such as '{first}\.wav'"):
            listed(manifest(tmp_path, "path\n" + "\n".join(twice) + "\n"))
