"""Braces and wildcards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.source.errors import SourceError
from pipeline.source.pattern import expand_braces, fixed_folder, is_pattern, match_files

NAMES = ["a/1.wav", "a/2.flac", "a/b/3.wav", "a/b/c/4.wav", ".h/5.wav", "a/.6.wav", "x1.wav", "x2.wav", "[7].wav"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("s-{000..002}.tar", ["s-000.tar", "s-001.tar", "s-002.tar"]),
        ("s-{8..11}.tar", ["s-8.tar", "s-9.tar", "s-10.tar", "s-11.tar"]),
        ("s-{08..10}.tar", ["s-08.tar", "s-09.tar", "s-10.tar"]),
        ("s-{3..1}", ["s-3", "s-2", "s-1"]),
        ("s-{0..10..5}", ["s-0", "s-5", "s-10"]),
        ("s-{10..0..5}", ["s-10", "s-5", "s-0"]),
        ("{a,b}/{0..1}.wav", ["a/0.wav", "a/1.wav", "b/0.wav", "b/1.wav"]),
        ("{train,test-{0..1}}.tar", ["train.tar", "test-0.tar", "test-1.tar"]),
        ("take {x}.wav", ["take {x}.wav"]),
        ("take {x} {a,b}.wav", ["take {x} a.wav", "take {x} b.wav"]),
        ("no braces", ["no braces"]),
    ],
)
def test_braces(pattern: str, names: list[str]) -> None:
    assert sorted(expand_braces(pattern)) == sorted(names)
    assert is_pattern(pattern) is (names != [pattern])


def test_braces_that_stand_for_too_many() -> None:
    for pattern in ("{0..99999999999}.tar", "{0..9999}{0..9999}"):
        with pytest.raises(SourceError, match="stand for more than 1,000,000 names"):
            expand_braces(pattern)


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("/data/*.wav", "/data"),
        ("/data/x/{a,b}/y.wav", "/data/x"),
        ("/*.wav", "/"),
        ("sounds/**/*.wav", "sounds"),
        ("*.wav", "."),
        ("s3://bucket/x/*/y.wav", "s3://bucket/x"),
        ("s3://bucket/*.wav", "s3://bucket"),
        ("https://host/x-{0..9}.tar", "https://host"),
    ],
)
def test_what_is_fixed(pattern: str, folder: str) -> None:
    assert fixed_folder(pattern) == folder


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[str]:
    """The same files on disk, and in a store that lists as object stores do."""
    import fsspec

    store = fsspec.filesystem("memory")
    root = f"/patterns-{tmp_path.name}"
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        store.pipe_file(f"{root}/{name}", b"")
    yield f"memory:/{root}"
    store.rm(root, recursive=True)


@pytest.mark.parametrize(
    "pattern",
    [
        "*.wav", "**/*.wav", "a/*", "a/**", "**", "*/*/*.wav", "x[12].wav", "x?.wav", "{x1,a/*}.wav", "[[]7].wav",
        ".h/*", "**/.h/*.wav", "**/.6.wav", "**/b/**/*.wav", "*/.6.wav",
    ],
)  # fmt: skip
def test_wildcards_match_alike_on_disk_and_in_an_object_store(in_memory: str, tmp_path: Path, pattern: str) -> None:
    local = [str(Path(file).relative_to(tmp_path)) for file in match_files(f"{tmp_path}/{pattern}")]
    remote = [file.removeprefix(in_memory + "/") for file in match_files(f"{in_memory}/{pattern}")]
    assert sorted(remote) == sorted(local) != []


def test_circles_of_links_are_walked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/x.wav").touch()
    (tmp_path / "sub/up").symlink_to("..", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for pattern in (f"{tmp_path}/**/*.wav", "**/*.wav", "./sub//**", f"file://{tmp_path}/**/x.*"):
        assert match_files(pattern) == [f"{tmp_path}/sub/x.wav"]
    assert match_files("{sub,nowhere}/**/*.wav") == [f"{tmp_path}/sub/x.wav"]


def test_the_web_has_no_wildcards() -> None:
    assert match_files("https://host/s-{0..1}.tar?x=1") == ["https://host/s-0.tar?x=1", "https://host/s-1.tar?x=1"]
    with pytest.raises(SourceError, match="folders on the web cannot be listed; spell the names out"):
        match_files("https://host/*.tar")
