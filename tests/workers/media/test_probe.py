"""Headers of good files, and reasons for bad ones."""

import contextlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.workers.media.probing import probe_audio
from workers.media.errors import MediaError


@pytest.mark.parametrize(
    ("name", "rate", "channels", "codec", "exact"),
    [
        ("pcm16.wav", 44100, 2, "WAV/PCM_16", True),
        ("float.wav", 48000, 2, "WAV/FLOAT", True),
        ("wide.flac", 96000, 2, "FLAC/PCM_24", True),
        ("narrow.flac", 44100, 1, "FLAC/PCM_16", True),
        ("big-endian.aiff", 22050, 1, "AIFF/PCM_24", True),
        ("vorbis.ogg", 44100, 2, "OGG/VORBIS", True),
        ("layer3.mp3", 44100, 2, "MP3/MPEG_LAYER_III", True),
        ("lame.mp3", 44100, 2, "MP3/MPEG_LAYER_III", True),
        ("no-xing.mp3", 44100, 2, "mp3/mp3", False),
        ("opus.opus", 48000, 2, "OGG/OPUS", True),
        ("aac.m4a", 44100, 2, "mov,mp4,m4a,3gp,3g2,mj2/aac", False),
        ("alac.m4a", 44100, 2, "mov,mp4,m4a,3gp,3g2,mj2/alac", False),
        ("adts.aac", 44100, 2, "aac/aac", False),
        ("opus.webm", 48000, 2, "matroska,webm/opus", False),
        ("aac.mkv", 44100, 2, "matroska,webm/aac", False),
        ("media.wma", 44100, 2, "asf/wmav2", False),
    ],
)
def test_header_facts(
    recordings: dict[str, Path], name: str, rate: int, channels: int, codec: str, exact: bool
) -> None:
    info = probe_audio(str(recordings[name]))
    assert (info.sample_rate, info.channels, info.codec, info.exact) == (rate, channels, codec, exact)
    assert info.duration_seconds == pytest.approx(4, abs=0 if exact else 0.08)


def test_video_with_sound(video: dict[str, Path]) -> None:
    info = probe_audio(str(video["sound.mp4"]))
    assert (info.sample_rate, info.channels) == (44100, 2)
    assert info.duration_seconds == pytest.approx(2, abs=0.05)


def test_flac_of_unknown_length_is_counted(recordings: dict[str, Path], tmp_path: Path) -> None:
    stream = bytearray(recordings["narrow.flac"].read_bytes())
    stream[21] &= 0xF0  # STREAMINFO: 36 bits of total samples
    stream[22:26] = bytes(4)
    (tmp_path / "live.flac").write_bytes(stream)
    assert probe_audio(str(tmp_path / "live.flac")).num_frames == 4 * 44100


def test_impossible_length(recordings: dict[str, Path], tmp_path: Path) -> None:
    stream = bytearray(recordings["narrow.flac"].read_bytes())
    stream[21] |= 0x0F
    stream[22:26] = b"\xff" * 4
    (tmp_path / "claims.flac").write_bytes(stream)
    with pytest.raises(MediaError, match=r"^the header gives 432\.9 hours, impossible in \d+ bytes \(FLAC/PCM_16\)$"):
        probe_audio(str(tmp_path / "claims.flac"))


def test_too_many_channels(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "array.wav", np.zeros((10, 100)), 16000, "PCM_16")
    with pytest.raises(MediaError, match=r"^the header gives 16000 Hz and 100 channels \(WAV/PCM_16\)$"):
        probe_audio(str(tmp_path / "array.wav"))


def test_wav_header_that_claims_too_much_is_cut_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "claims.wav"
    soundfile.write(path, np.zeros(1000), 8000, "PCM_16")
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", 2_000_000)
    path.write_bytes(data)
    assert probe_audio(str(path)).num_frames == 1000


def test_wrong_extension_does_not_matter(recordings: dict[str, Path], tmp_path: Path) -> None:
    for name, wrong in (("aac.m4a", "a.wav"), ("pcm16.wav", "b.m4a"), ("narrow.flac", "c.mp4"), ("vorbis.ogg", "d")):
        (tmp_path / wrong).write_bytes(recordings[name].read_bytes())
        assert probe_audio(str(tmp_path / wrong)).codec == probe_audio(str(recordings[name])).codec


def bad_files(folder: Path) -> dict[str, Path]:
    (folder / "text.wav").write_text("This is not a recording.\n" * 20)
    (folder / "empty.wav").touch()
    (folder / "folder.wav").mkdir()
    soundfile.write(folder / "zero.wav", np.zeros((0, 2)), 16000)
    (folder / "riff.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    os.mkfifo(folder / "pipe.wav")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text.wav", r"^not a media file that can be read, or its header is cut off \(Invalid data"),
        ("empty.wav", r"^empty file \(0 bytes\)$"),
        ("folder.wav", "^is a folder, not a file$"),
        ("zero.wav", r"^no sound in it: the header gives a length of 0 samples \(WAV/PCM_16\)$"),
        ("riff.wav", "^not a media file|^no sound in it"),
        ("pipe.wav", "^is not a regular file$"),
    ],
)
def test_bad_files_say_why(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        probe_audio(str(bad_files(tmp_path)[name]))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nowhere/missing.wav", "^no such file$"),
        ("https://example.org/a.mp3", "^no such file$"),
        ("pipe:0", "^no such file$"),
        ("bad\0name.wav", "file name cannot be used.*rename"),
        ("bad\udcffname.wav", "file name cannot be used.*rename"),
    ],
)
def test_bad_paths_say_why(path: str, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        probe_audio(path)


def test_video_without_sound(video: dict[str, Path]) -> None:
    with pytest.raises(MediaError, match="no audio stream: the file holds video"):
        probe_audio(str(video["silent.mp4"]))


def test_cut_off_mp4(recordings: dict[str, Path], tmp_path: Path) -> None:
    whole = recordings["aac.m4a"].read_bytes()
    (tmp_path / "cut.m4a").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match="header is cut off"):
        probe_audio(str(tmp_path / "cut.m4a"))


def test_no_handle_is_left_open(recordings: dict[str, Path], video: dict[str, Path], tmp_path: Path) -> None:
    files = [*recordings.values(), *video.values(), *bad_files(tmp_path).values()]
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for path in files:
        with contextlib.suppress(MediaError):
            probe_audio(str(path))
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
