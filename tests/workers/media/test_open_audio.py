"""Readers give the same samples in any order, and say where packets are missing."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from workers.media.errors import MediaError
from workers.media.libav_reader import LibavReader
from workers.media.open_audio import open_audio
from workers.media.sndfile_reader import SndfileReader


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pcm16.wav", SndfileReader),
        ("narrow.flac", SndfileReader),
        ("vorbis.ogg", SndfileReader),
        ("lame.mp3", SndfileReader),
        ("opus.opus", SndfileReader),
        ("no-xing.mp3", LibavReader),
        ("aac.m4a", LibavReader),
        ("alac.m4a", LibavReader),
        ("opus.webm", LibavReader),
        ("media.wma", LibavReader),
    ],
)
def test_any_order_gives_the_same(recordings: dict[str, Path], name: str, kind: type) -> None:
    with open_audio(str(recordings[name])) as reader:
        assert isinstance(reader, kind)
        whole = reader.read(0, reader.info.num_frames)
        assert whole.dtype == np.float32
        assert whole.shape[1] == reader.info.channels
        for start in (100_000, 3, 50_000, 49_999, 0):
            np.testing.assert_array_equal(reader.read(start, start + 5000), whole[start : start + 5000])


@pytest.mark.parametrize("name", ["narrow.flac", "aac.m4a"])
def test_nothing_comes_from_behind_the_end(recordings: dict[str, Path], name: str) -> None:
    with open_audio(str(recordings[name])) as reader:
        num = reader.info.num_frames
        assert len(reader.read(num - 10, num + 1000)) == 10
        assert reader.read(num + 5, num + 10).shape == (0, reader.info.channels)


def test_channel_names(recordings: dict[str, Path]) -> None:
    with open_audio(str(recordings["aac.m4a"])) as reader:
        assert reader.channel_names == ("FL", "FR")


def test_missing_packets_are_named(tmp_path: Path, programme: Callable[..., NDArray[np.float32]]) -> None:
    path = tmp_path / "gap.m4a"
    samples = programme(44100, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for packet_start in range(0, 80 * 1024, 1024):
            piece = np.ascontiguousarray(samples[packet_start : packet_start + 1024].T)
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, packet_start
            for packet in stream.encode(frame):
                if packet.pts >= 40 * 1024:  # half a second is lost on the way
                    packet.pts += 22050
                    packet.dts += 22050
                container.mux(packet)
        for packet in stream.encode(None):
            packet.pts += 22050
            packet.dts += 22050
            container.mux(packet)
    with open_audio(str(path)) as reader:
        assert reader.read(0, 30 * 1024).std() > 0.1
        with pytest.raises(MediaError, match=r"packets are missing: nothing to decode from 0\.9\d\d s to 1\.4\d\d s"):
            reader.read(35 * 1024, 70 * 1024)
        assert reader.read(65 * 1024, 75 * 1024).std() > 0.1
