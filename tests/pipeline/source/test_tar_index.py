"""Headers of tar archives, honest, hostile and damaged."""

import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.source.tar_index import Member, ShardError, read_members

BLOCK = 512


def archive(*infos: tarfile.TarInfo | tuple[str, bytes], **options: object) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as tar:
        for given in infos:
            if isinstance(given, tarfile.TarInfo):
                tar.addfile(given, io.BytesIO(b"x" * given.size))
            else:
                info = tarfile.TarInfo(given[0])
                info.size = len(given[1])
                tar.addfile(info, io.BytesIO(given[1]))
    return file.getvalue()


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def members(data: bytes) -> list[Member]:
    return list(read_members(io.BytesIO(data)))


def so_far(data: bytes) -> tuple[list[str], str]:
    """Names that were read before an archive turned out to be damaged, and how."""
    names: list[str] = []
    with pytest.raises(ShardError) as caught:
        names.extend(member.name for member in read_members(io.BytesIO(data)))
    return names, str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_lie_where_they_are_said_to(kind: int) -> None:
    long = "deep/" * 40 + "sound.wav"
    contents = {"a.wav": b"first", "./b/ü.wav": b"second" * 200, "c.json": b"", **({} if kind == 0 else {long: b"3"})}
    data = archive(info("b", tarfile.DIRTYPE), *contents.items(), format=kind)
    found = {member.name: data[member.offset : member.offset + member.size] for member in members(data)}
    assert found == {name.removeprefix("./"): content for name, content in contents.items()}
    assert not any(member.problem for member in members(data))


def test_the_file_may_be_read_between_members() -> None:
    file = io.BytesIO(archive(("a", b"1" * 700), ("b", b"22"), ("c", b"333")))
    found = {}
    for member in read_members(file):
        file.seek(member.offset)
        found[member.name] = file.read(member.size)
    assert found == {"a": b"1" * 700, "b": b"22", "c": b"333"}


@pytest.mark.parametrize(
    ("given", "reason", "is_safe"),
    [
        (info("/etc/passwd.wav"), "leads out of the archive", False),
        (info("../../up.wav"), "leads out of the archive", False),
        (info("a/../../up.wav"), "leads out of the archive", False),
        (info("..\\up.wav"), "leads out of the archive", False),
        (info("C:\\up.wav"), "leads out of the archive", False),
        (info("."), "not valid UTF-8, or empty", False),
        (info("bad\udcff.wav"), "not valid UTF-8", False),
        (info("a.wav", tarfile.SYMTYPE, "/etc/passwd"), "link to '/etc/passwd'", True),
        (info("a.wav", tarfile.LNKTYPE, "b.wav"), "link to 'b.wav'", True),
        (info("a.wav", tarfile.CHRTYPE), "device or pipe", True),
        (info("a.wav", tarfile.BLKTYPE), "device or pipe", True),
        (info("a.wav", tarfile.FIFOTYPE), "device or pipe", True),
        (info("a.wav", b"V"), "type b'V'", True),
    ],
)
def test_what_is_no_file_below_the_root_is_refused_and_the_rest_read(
    given: tarfile.TarInfo, reason: str, is_safe: bool
) -> None:
    first, refused, last = members(archive(("x.wav", b"1"), given, ("y.wav", b"2"), errors="surrogateescape"))
    assert (first.name, last.name, first.problem, last.problem) == ("x.wav", "y.wav", None, None)
    assert reason in str(refused.problem)
    assert f"at byte {refused.offset:,} is refused" in str(refused.problem)
    assert refused.is_safe is is_safe


def test_a_sparse_file_is_refused() -> None:
    sparse = info("a.wav", tarfile.GNUTYPE_SPARSE)
    assert "sparse file" in str(members(archive(sparse, ("b.wav", b"1"), format=tarfile.GNU_FORMAT))[0].problem)


GOOD = archive(*((f"{number}.wav", b"x" * 600) for number in range(4)))
STRIDE = BLOCK + 1024  # a header, and 600 bytes padded


def test_a_cut_anywhere_is_noticed_and_what_lies_before_is_read() -> None:
    assert len(members(GOOD)) == 4
    end = 4 * STRIDE
    for length in (*range(1, end, 97), *(STRIDE * number for number in (1, 2, 3, 4)), end + 100):
        names, reason = so_far(GOOD[:length])
        whole = sum(length >= number * STRIDE + BLOCK + 600 for number in range(4))
        assert names == [f"{number}.wav" for number in range(whole)]
        assert "cut short" in reason or "damaged" in reason


def test_what_is_no_tar_says_so() -> None:
    for data, reason in (
        (b"", "empty file"),
        (b"RIFF" + b"x" * 2000, "damaged"),
        (b"\x1f\x8b\x08" + b"x" * 2000, "compressed with gzip.*decompress"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 2000, "compressed with zstd"),
    ):
        with pytest.raises(ShardError, match=reason):
            members(data)
    assert members(archive()) == []


def test_a_damaged_header_ends_the_reading_loudly() -> None:
    data = bytearray(GOOD)
    data[2 * STRIDE + 20] ^= 0xFF
    names, reason = so_far(bytes(data))
    assert names == ["0.wav", "1.wav"]
    assert f"damaged: no header at byte {2 * STRIDE:,}" in reason


def test_archives_that_were_put_together_are_noticed() -> None:
    names, reason = so_far(GOOD + GOOD)
    assert len(names) == 4
    assert "goes on behind its end mark" in reason
    assert len(members(GOOD + bytes(100_000))) == 4


def checked(header: bytearray) -> bytes:
    """A header with its checksum made right again, as somebody who means harm would."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("kind", [b"0", b"x", b"L", b"g", b"S"])
@pytest.mark.parametrize("size", [-512, -(1 << 62), 1 << 40, (1 << 63) - 1])
def test_absurd_sizes_neither_hang_nor_fill_the_memory(kind: bytes, size: int) -> None:
    header = bytearray(GOOD[:BLOCK])
    header[156:157] = kind
    header[124:136] = (b"\xff" if size < 0 else b"\x80") + struct.pack(">q", size).rjust(
        11, b"\xff" if size < 0 else b"\0"
    )
    names, _ = so_far(GOOD[:STRIDE] + checked(header) + GOOD[BLOCK:])
    assert names[:1] == ["0.wav"]


def test_headers_that_go_on_for_ever_are_not_followed() -> None:
    long = bytearray(GOOD[:BLOCK])
    long[156:157] = b"L"
    long[124:136] = b"%011o\0" % BLOCK
    endless = (checked(long) + b"a" * BLOCK) * 3000
    names, reason = so_far(GOOD[:STRIDE] + endless + GOOD)
    assert names == ["0.wav"]
    assert "damaged" in reason


def test_a_size_in_pax_headers_that_leads_backwards() -> None:
    hostile = tarfile.TarInfo("b.wav")
    hostile.pax_headers = {"size": "-1024"}
    names, reason = so_far(archive(("a.wav", b"1"), hostile, ("c.wav", b"2"), format=tarfile.PAX_FORMAT))
    assert names == ["a.wav"]
    assert "leads backwards" in reason


def test_many_members_are_read_by_their_headers_alone(
    tmp_path: Path, counted: Callable[[Path], io.BufferedReader]
) -> None:
    path = tmp_path / "many.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(200):
            member = tarfile.TarInfo(f"{number}.wav")
            member.size = 200_000
            tar.addfile(member, io.BytesIO(bytes(200_000)))
    file = counted(path)
    assert len(list(read_members(file))) == 200
    assert file.num_bytes < path.stat().st_size / 10


def test_a_header_that_claims_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tar"
    long = bytearray(GOOD[:BLOCK])
    long[156:157] = b"L"
    long[124:136] = b"%011o\0" % (900 << 20)
    path.write_bytes(GOOD[:STRIDE] + checked(long))
    os.truncate(path, 1 << 30)  # the bytes are there, as holes

    class Watched(io.FileIO):
        most = 0

        def read(self, size: int | None = -1) -> bytes:
            type(self).most = max(self.most, 1 << 40 if size is None or size < 0 else size)
            return super().read(size)

    with Watched(path) as file, pytest.raises(ShardError, match=r"a header at byte .* claims 943,718,400 bytes"):
        list(read_members(file))
    assert Watched.most <= 8 << 20
