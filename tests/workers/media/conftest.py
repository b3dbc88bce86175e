"""Recordings in every format that the media tests need, made on the spot."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

Waveform = NDArray[np.float32]

SECONDS = 4


def programme(rate: int, channels: int, seconds: float = SECONDS, seed: int = 0) -> Waveform:
    """Glides and noise bursts, float32 [num, channels]; the noise makes AAC encoders use noise substitution."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(rate * seconds)) / rate
    out = [
        0.3 * np.sin(2 * np.pi * (200 + 90 * channel + 60 * t) * t)
        + 0.15 * rng.standard_normal(len(t)) * np.exp(-((t * 5 + 0.1 * channel) % 1) * 6)
        for channel in range(channels)
    ]
    return np.stack(out, axis=1).astype(np.float32)


def encode(
    path: Path, samples: Waveform, rate: int, codec: str, layout: str = "stereo", options: dict[str, str] | None = None
) -> Path:
    """Write samples [num, channels] with FFmpeg's encoder of that name; the extension picks the container."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        size = stream.codec_context.frame_size or 1024
        cutter = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate, frame_size=size)
        for piece in [*cutter.resample(frame), *cutter.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


FORMATS: dict[str, Callable[[Path], object]] = {
    "pcm16.wav": lambda path: soundfile.write(path, programme(44100, 2), 44100, "PCM_16"),
    "float.wav": lambda path: soundfile.write(path, programme(48000, 2), 48000, "FLOAT"),
    "wide.flac": lambda path: soundfile.write(path, programme(96000, 2), 96000, "PCM_24"),
    "narrow.flac": lambda path: soundfile.write(path, programme(44100, 1), 44100, "PCM_16"),
    "big-endian.aiff": lambda path: soundfile.write(path, programme(22050, 1), 22050, "PCM_24"),
    "vorbis.ogg": lambda path: soundfile.write(path, programme(44100, 2), 44100),
    "layer3.mp3": lambda path: soundfile.write(path, programme(44100, 2), 44100),
    "lame.mp3": lambda path: encode(path, programme(44100, 2), 44100, "libmp3lame"),
    "no-xing.mp3": lambda path: encode(
        path, programme(44100, 2), 44100, "libmp3lame", options={"write_xing": "0", "id3v2_version": "0"}
    ),
    "aac.m4a": lambda path: encode(path, programme(44100, 2), 44100, "aac"),
    "adts.aac": lambda path: encode(path, programme(44100, 2), 44100, "aac"),
    "opus.opus": lambda path: encode(path, programme(48000, 2), 48000, "libopus"),
    "opus.webm": lambda path: encode(path, programme(48000, 2), 48000, "libopus"),
    "aac.mkv": lambda path: encode(path, programme(44100, 2), 44100, "aac"),
    "media.wma": lambda path: encode(path, programme(44100, 2), 44100, "wmav2"),
    "alac.m4a": lambda path: encode(path, programme(44100, 2), 44100, "alac"),
}


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One short recording per entry of `FORMATS`."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, write in FORMATS.items():
        write(folder / name)
    return {name: folder / name for name in FORMATS}


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`silent.mp4` has a picture only; `sound.mp4` a picture and AAC sound."""
    folder = tmp_path_factory.mktemp("video")
    for name in ("silent.mp4", "sound.mp4"):
        with av.open(str(folder / name), "w") as container:
            picture = container.add_stream("mpeg4", rate=25)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
            sound = container.add_stream("aac", rate=44100, layout="stereo") if name == "sound.mp4" else None
            for n in range(50):
                image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * n, np.uint8), format="rgb24")
                container.mux(picture.encode(image))
            container.mux(picture.encode(None))
            if sound is not None:
                samples = programme(44100, 2, seconds=2)
                for start in range(0, len(samples), 1024):
                    piece = np.ascontiguousarray(samples[start : start + 1024].T)
                    frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
                    frame.sample_rate, frame.pts = 44100, start
                    container.mux(sound.encode(frame))
                container.mux(sound.encode(None))
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(name="programme", scope="session")
def programme_function() -> Callable[..., Waveform]:
    """`programme`, for tests that make files of their own."""
    return programme


@pytest.fixture(name="encode", scope="session")
def encode_function() -> Callable[..., Path]:
    """`encode`, likewise."""
    return encode
