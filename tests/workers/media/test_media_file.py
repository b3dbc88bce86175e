"""Recordings inside archives and tables and at URIs: the same samples as from a file of their own."""

from hashlib import blake2b
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workers.media.probing import probe_audio
from workers.audio.decode_spec import DecodeSpec
from workers.files import StorageUnavailableError
from workers.media import media_file
from workers.media.decode import Span, decode_spans
from workers.media.errors import MediaError
from workers.media.media_file import MediaFile, bytes_member, row_member

SPEC = DecodeSpec(sample_rate=16_000, channels="stereo")
SPANS = [Span(40_000, 8_000), Span(0, 16_000), Span(16_000, 16_000), Span(62_000, 2_000)]


@pytest.fixture(scope="module")
def archive(recordings: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """All recordings back to back in one file, with something between them, and the member of each."""
    path = tmp_path_factory.mktemp("archive") / "shard.tar"
    members, position = {}, 0
    with path.open("wb") as file:
        for name, source in recordings.items():
            position += file.write(b"\xff\xfb\x00RIFFfLaC" * 47)
            members[name] = bytes_member(position, source.stat().st_size)
            position += file.write(source.read_bytes())
        file.write(b"ID3" * 999)
    return path, members


@pytest.fixture(scope="module")
def table(recordings: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """All recordings in a table of three rows per group, under a column name that needs quoting."""
    path = tmp_path_factory.mktemp("table") / "train.parquet"
    cells = [{"bytes": source.read_bytes(), "path": name} for name, source in recordings.items()]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"a.u:dio": pa.array(cells, kind), "n": range(len(cells))}), path, row_group_size=3)
    return path, {name: row_member(("a.u:dio", "bytes"), i // 3, i % 3) for i, name in enumerate(recordings)}


def assert_same(path: Path, other: str, member: str | None) -> None:
    """Header, samples of several spans, and fingerprint are those of the file."""
    assert probe_audio(other, member) == probe_audio(str(path))
    for expected, got in zip(
        decode_spans(str(path), SPANS, SPEC), decode_spans(other, SPANS, SPEC, member), strict=True
    ):
        assert isinstance(got, np.ndarray) == isinstance(expected, np.ndarray), (expected, got)
        if isinstance(got, np.ndarray):
            np.testing.assert_array_equal(got, expected)
    with MediaFile(str(path)) as whole, MediaFile(other, member) as elsewhere:
        assert elsewhere.size == whole.size == path.stat().st_size
        assert elsewhere.fingerprint() == whole.fingerprint()


def test_a_stretch_of_an_archive_is_read_like_a_file(
    recordings: dict[str, Path], archive: tuple[Path, dict[str, str]]
) -> None:
    path, members = archive
    for name, member in members.items():
        assert_same(recordings[name], str(path), member)


def test_a_cell_of_a_table_is_read_like_a_file(recordings: dict[str, Path], table: tuple[Path, dict[str, str]]) -> None:
    path, members = table
    for name, member in members.items():
        assert_same(recordings[name], str(path), member)


def test_a_file_at_a_uri_is_read_like_a_local_one(
    recordings: dict[str, Path], memory: fsspec.AbstractFileSystem
) -> None:
    for name, path in recordings.items():
        memory.pipe_file(f"/sounds/{name}", path.read_bytes())
        assert_same(path, f"memory://sounds/{name}", None)


def test_members_are_read_at_uris_too(
    recordings: dict[str, Path],
    archive: tuple[Path, dict[str, str]],
    table: tuple[Path, dict[str, str]],
    memory: fsspec.AbstractFileSystem,
) -> None:
    for path, members in (archive, table):
        memory.pipe_file(f"/sounds/{path.name}", path.read_bytes())
        for name in ("aac.m4a", "vorbis.ogg", "pcm16.wav"):
            assert_same(recordings[name], f"memory://sounds/{path.name}", members[name])


def test_a_long_recording_is_decoded_in_the_same_regions(
    programme, encode, tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    path = encode(tmp_path / "long.m4a", programme(44100, 2, seconds=95), 44100, "aac")
    memory.pipe_file("/long.m4a", path.read_bytes())
    spans = [Span(16_000 * second, 16_000) for second in (93, 1, 29, 30, 61)]
    for expected, got in zip(
        decode_spans(str(path), spans, SPEC), decode_spans("memory://long.m4a", spans, SPEC), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def test_the_fingerprint_is_of_sixteen_blocks(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(5_000_000)
    (tmp_path / "big").write_bytes(data)
    expected = blake2b(digest_size=16)
    for index in range(16):
        offset = (len(data) - 4096) * index // 15
        expected.update(data[offset : offset + 4096])
    for member in (None, bytes_member(0, len(data))):
        with MediaFile(str(tmp_path / "big"), member) as media:
            assert media.fingerprint() == expected.digest()


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("bytes:10+99999999", r"cut off: bytes 10 to 100,000,009 of a file of"),
        ("bytes:10+0", r"empty: 0 bytes at bytes:10\+0"),
        ("bytes:10", "not a member: 'bytes:10'; expected bytes:OFFSET"),
        ("row:audio.bytes:0:0", "not a whole Parquet file: "),
    ],
)
def test_a_member_that_is_not_there_says_so(archive: tuple[Path, dict[str, str]], member: str, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        MediaFile(str(archive[0]), member)


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (row_member(("a.u:dio", "bytes"), 99, 0), "no such row group: 99 of 6"),
        (row_member(("a.u:dio", "bytes"), 5, 1), "no such row: 1 of row group 5, which has 1"),
        (row_member(("sound",), 0, 0), "no such column: sound; 'sound' is not among a.u:dio, n"),
        (row_member(("n",), 0, 0), "column n holds a int, expected bytes"),
        (row_member(("a.u:dio", "path"), 0, 0), "column a.u:dio.path holds a str, expected bytes"),
        (row_member(("a.u:dio", "nothing"), 0, 0), "'nothing' is not among bytes, path"),
    ],
)
def test_a_cell_that_is_not_there_says_so(table: tuple[Path, dict[str, str]], member: str, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        MediaFile(str(table[0]), member)


def test_a_null_cell_says_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"sound": pa.array([None, b""], pa.binary())}), tmp_path / "t.parquet")
    with pytest.raises(MediaError, match="the value is null"):
        MediaFile(str(tmp_path / "t.parquet"), row_member(("sound",), 0, 0))
    with pytest.raises(MediaError, match="empty: 0 bytes at row:sound:0:1"):
        MediaFile(str(tmp_path / "t.parquet"), row_member(("sound",), 0, 1))


def test_a_rewritten_table_is_read_anew(recordings: dict[str, Path], tmp_path: Path) -> None:
    path = str(tmp_path / "t.parquet")
    sizes = []
    for name in ("pcm16.wav", "layer3.mp3"):
        pq.write_table(pa.table({"sound": pa.array([recordings[name].read_bytes()], pa.binary())}), path)
        with MediaFile(path, row_member(("sound",), 0, 0)) as media:
            sizes.append(media.size)
    assert sizes == [recordings[name].stat().st_size for name in ("pcm16.wav", "layer3.mp3")]


def test_missing_objects_say_so(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe_file("/sounds/a.wav", b"RIFF")
    for path, reason in (
        ("memory://sounds/b.wav", "no such file"),
        ("memory://sounds", "is a folder"),
        ("s3://key:hunter2@bucket/a.wav", "holds a user name or key"),
        ("nosuch://x/a.wav", "nothing opens nosuch://"),
    ):
        with pytest.raises(MediaError, match=reason) as caught:
            probe_audio(path)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["pcm16.wav", "layer3.mp3", "aac.m4a", "opus.webm"])
def test_a_store_that_goes_silent_is_not_taken_for_a_short_file(
    name: str, recordings: dict[str, Path], memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = recordings[name].read_bytes()
    memory.pipe_file("/long", data)
    real = media_file.RemoteFile.read

    def silent_in_the_middle(self: media_file.RemoteFile, offset: int, length: int) -> bytes:
        if offset + length > len(data) // 2:
            raise StorageUnavailableError("silent")
        return real(self, offset, length)

    monkeypatch.setattr(media_file.RemoteFile, "read", silent_in_the_middle)
    monkeypatch.setattr("workers.files.ranged._WHOLE_BYTES", 0)
    monkeypatch.setattr("workers.files.ranged._BLOCK_BYTES", 4096)
    with pytest.raises(StorageUnavailableError, match="silent"):
        decode_spans("memory://long", SPANS, SPEC)


def test_a_playlist_from_elsewhere_opens_no_local_file(
    recordings: dict[str, Path], memory: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{recordings['adts.aac']}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(playlist)
    memory.pipe_file("/list.m3u8", playlist.encode())
    with pytest.raises(MediaError):
        probe_audio("memory://list.m3u8")


@pytest.mark.parametrize("kind", [OSError, ValueError])
def test_signed_addresses_are_not_repeated(tmp_path: Path, kind: type[Exception]) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with MediaFile(str(tmp_path / "x")) as file:
        file.failure = kind("cut off at https://cdn/x?sig=hunter2 for good")
        with pytest.raises(MediaError, match=r"cut off at https://cdn/x\?… for good"):
            file.check()
