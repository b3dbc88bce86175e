"""Spans of real files in every format, against the whole file decoded by the plain library and resampled at once."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from tests.workers.media.probing import probe_audio
from workers.audio.decode_spec import DecodeSpec
from workers.audio.resample import resampled_length
from workers.media.decode import Span, decode_spans
from workers.media.errors import MediaError

Waveform = NDArray[np.float32]

MONO = DecodeSpec(sample_rate=16000)

SPANS = [Span(40_000, 8000), Span(0, 5000), Span(777, 16_000), Span(16_777, 16_000), Span(32_001, 1)]
"""At 16 kHz, out of order, overlapping and adjacent."""

LIBSNDFILE = [
    "pcm16.wav",
    "float.wav",
    "wide.flac",
    "narrow.flac",
    "big-endian.aiff",
    "vorbis.ogg",
    "layer3.mp3",
    "lame.mp3",
    "opus.opus",
]
LIBAV = ["aac.m4a", "alac.m4a", "adts.aac", "opus.webm", "aac.mkv", "media.wma", "no-xing.mp3"]


def waveform(result: Waveform | MediaError) -> Waveform:
    assert not isinstance(result, MediaError), result
    return result


def error(result: Waveform | MediaError) -> MediaError:
    assert isinstance(result, MediaError)
    return result


def decode_plainly(path: Path) -> Waveform:
    """The whole file, float32 [num, channels], by soundfile alone or FFmpeg alone, with nothing of ours."""
    if path.name in LIBSNDFILE:
        samples: Waveform = soundfile.read(path, dtype="float32", always_2d=True)[0]
        return samples
    with av.open(str(path)) as container:
        to_float = av.AudioResampler(format="fltp")
        frames = [out for frame in container.decode(audio=0) for out in to_float.resample(frame)]
        return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T


@pytest.mark.parametrize("name", [*LIBSNDFILE, *LIBAV])
def test_span_equals_whole(recordings: dict[str, Path], name: str) -> None:
    path = recordings[name]
    native = decode_plainly(path).mean(axis=1)
    whole = soxr.resample(native, probe_audio(str(path)).sample_rate, 16000)
    for span, result in zip(SPANS, decode_spans(str(path), SPANS, MONO), strict=True):
        expected = whole[span.start_sample : span.start_sample + span.num_samples]
        assert waveform(result).shape == (1, span.num_samples)
        assert waveform(result).dtype == np.float32
        assert waveform(result).flags.c_contiguous
        assert np.abs(waveform(result)[0] - expected).max() < 5e-6


@pytest.mark.parametrize("name", [*LIBSNDFILE, *LIBAV])
def test_native_rate_is_bit_exact_and_segments_join(recordings: dict[str, Path], name: str) -> None:
    path = recordings[name]
    rate = probe_audio(str(path)).sample_rate
    segments = [Span(k * 10_000, 10_000) for k in range(8)]
    joined = [waveform(r) for r in decode_spans(str(path), segments, DecodeSpec(sample_rate=rate, channels="keep"))]
    np.testing.assert_array_equal(np.concatenate(joined, axis=1), decode_plainly(path)[:80_000].T)


@pytest.mark.parametrize("name", [*LIBSNDFILE, *LIBAV])
def test_a_span_does_not_depend_on_its_company(recordings: dict[str, Path], name: str) -> None:
    path = str(recordings[name])
    together = decode_spans(path, SPANS, MONO)
    for span, result in zip(SPANS, together, strict=True):
        np.testing.assert_array_equal(waveform(result), waveform(decode_spans(path, [span], MONO)[0]))


@pytest.mark.parametrize("name", [*LIBSNDFILE, *LIBAV])
def test_whole_file_as_the_header_counts_it(recordings: dict[str, Path], name: str) -> None:
    info = probe_audio(str(recordings[name]))
    num = resampled_length(info.num_frames, info.sample_rate, 16000)
    (result,) = decode_spans(str(recordings[name]), [Span(0, num)], MONO)
    assert np.sqrt((waveform(result) ** 2).mean()) > 0.1


@pytest.mark.parametrize("name", ["long.m4a", "long.opus"])
def test_long_files_are_sought_and_agree_at_every_position(
    tmp_path: Path, programme: Callable[..., Waveform], encode: Callable[..., Path], name: str
) -> None:
    """Decoding restarts every 30 s, however the sample is reached; surround Opus is FFmpeg's, not libsndfile's."""
    codec, channels, layout = {"long.m4a": ("aac", 1, "mono"), "long.opus": ("libopus", 4, "quad")}[name]
    path = str(encode(tmp_path / name, programme(48000, channels, 65), 48000, codec, layout))
    assert not probe_audio(path).exact
    spec = DecodeSpec(sample_rate=48000, channels="keep")
    (whole,) = decode_spans(path, [Span(0, 64 * 48000)], spec)
    spans = [Span(62 * 48000, 48000), Span(29 * 48000 + 5, 96000), Span(31 * 48000, 100), Span(1000, 1000)]
    for span, result in zip(spans, decode_spans(path, spans, spec), strict=True):
        np.testing.assert_array_equal(waveform(result), waveform(whole)[:, span.start_sample :][:, : span.num_samples])
    plain = decode_plainly(Path(path)).T
    np.testing.assert_array_equal(waveform(whole)[:, : 30 * 48000], plain[:, : 30 * 48000])
    offset = 30 * 48000  # restarting may change the noise that AAC substitutes, but not move the sound
    ours, theirs = waveform(whole)[0, offset : offset + 48000], plain[0, offset : offset + 48000]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.95


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 96000, 192000])
@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_32"), ("wav", "FLOAT"), ("flac", "PCM_24")],
)
def test_rates_and_depths(tmp_path: Path, rate: int, suffix: str, subtype: str) -> None:
    t = np.arange(rate) / rate
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 1000 * t), rate, subtype)
    (result,) = decode_spans(str(path), [Span(4000, 8000)], MONO)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(4000, 12000) / 16000)
    assert np.abs(waveform(result)[0] - expected).max() < 1e-4


@pytest.mark.parametrize("channels", range(1, 9))
def test_channel_policies(tmp_path: Path, channels: int) -> None:
    levels = np.linspace(0.1, 0.8, channels)
    path = tmp_path / "many.wav"
    soundfile.write(path, np.tile(levels, (1600, 1)), 16000, "FLOAT")
    got = {
        policy: waveform(decode_spans(str(path), [Span(0, 1600)], DecodeSpec(sample_rate=16000, channels=policy))[0])
        for policy in ("mono", "stereo", "keep")
    }
    np.testing.assert_allclose(got["keep"][:, 0], levels, atol=1e-7)
    np.testing.assert_allclose(got["mono"][:, 0], [levels.mean()], atol=1e-7)
    np.testing.assert_allclose(got["stereo"][:, 0], levels[:2] if channels > 1 else [0.1, 0.1], atol=1e-7)


def test_surround_flac_is_downmixed_by_its_layout(tmp_path: Path) -> None:
    path = tmp_path / "surround.flac"
    soundfile.write(path, np.tile([0.0, 0.0, 0.5, 0.9, 0.0, 0.0], (1000, 1)), 16000, "PCM_24")
    (result,) = decode_spans(str(path), [Span(0, 1000)], DecodeSpec(sample_rate=16000, channels="stereo"))
    centre = 0.5 * np.sqrt(0.5) / (1 + 2 * np.sqrt(0.5))
    np.testing.assert_allclose(waveform(result)[:, 0], [centre, centre], atol=1e-6)


def test_sound_of_a_video(video: dict[str, Path]) -> None:
    plain = decode_plainly(video["sound.mp4"])
    (result,) = decode_spans(
        str(video["sound.mp4"]), [Span(30_000, 20_000)], DecodeSpec(sample_rate=44100, channels="stereo")
    )
    np.testing.assert_array_equal(waveform(result), plain[30_000:50_000].T)


def test_aac_priming_is_dropped(recordings: dict[str, Path], programme: Callable[..., Waveform]) -> None:
    (result,) = decode_spans(
        str(recordings["aac.m4a"]), [Span(0, 44100)], DecodeSpec(sample_rate=44100, channels="keep")
    )
    original = programme(44100, 2)[:44100, 0]
    lags = range(-1024, 1025, 64)
    likeness = [np.corrcoef(np.roll(original, lag)[2048:-2048], waveform(result)[0][2048:-2048])[0, 1] for lag in lags]
    assert lags[int(np.argmax(likeness))] == 0


def test_truncated_flac_costs_only_what_is_missing(recordings: dict[str, Path], tmp_path: Path) -> None:
    whole = recordings["narrow.flac"]
    cut = tmp_path / "cut.flac"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    spans = [Span(50_000, 8000), Span(0, 16_000), Span(0, 64_000), Span(8000, 16_000)]
    late, first, everything, second = decode_spans(str(cut), spans, MONO)
    assert str(error(late)).startswith("truncated")
    assert str(error(everything)).startswith("truncated or corrupt: expected 176400 samples at 44100 Hz")
    intact = decode_spans(str(whole), spans, MONO)
    np.testing.assert_array_equal(waveform(first), waveform(intact[1]))
    np.testing.assert_array_equal(waveform(second), waveform(intact[3]))


def test_truncated_mp3_says_how_much_there_is(recordings: dict[str, Path], tmp_path: Path) -> None:
    data = recordings["lame.mp3"].read_bytes()
    (tmp_path / "cut.mp3").write_bytes(data[: len(data) // 2])
    late, early = decode_spans(str(tmp_path / "cut.mp3"), [Span(48_000, 16_000), Span(0, 16_000)], MONO)
    assert "truncated: expected 176400 samples at 44100 Hz, got" in str(error(late))
    assert waveform(early).shape == (1, 16_000)


def test_corrupt_m4a_spares_what_lies_before(recordings: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(recordings["aac.m4a"].read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = np.random.default_rng(0).bytes(6000)
    (tmp_path / "hurt.m4a").write_bytes(data)
    early, across = decode_spans(str(tmp_path / "hurt.m4a"), [Span(0, 16_000), Span(24_000, 30_000)], MONO)
    np.testing.assert_array_equal(
        waveform(early), waveform(decode_spans(str(recordings["aac.m4a"]), [Span(0, 16_000)], MONO)[0])
    )
    assert str(error(across)).startswith("truncated or corrupt: decoding stopped after")


def test_header_that_claims_too_many_frames(tmp_path: Path) -> None:
    path = tmp_path / "claims.wav"
    soundfile.write(path, np.full(16_000, 0.25), 16_000, "PCM_16")
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", 64_000)
    path.write_bytes(data)
    there, beyond = decode_spans(str(path), [Span(0, 16_000), Span(16_000, 16_000)], MONO)
    assert waveform(there).shape == (1, 16_000)
    assert str(error(beyond)) == "truncated: expected 32000 samples at 16000 Hz, got 16000: 2.000 s, 1.000 s"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_samples(tmp_path: Path, value: float) -> None:
    samples = np.zeros(32_000, np.float32)
    samples[20_000] = value
    soundfile.write(tmp_path / "odd.wav", samples, 16000, "FLOAT")
    clean, hit = decode_spans(str(tmp_path / "odd.wav"), [Span(0, 16_000), Span(16_000, 16_000)], MONO)
    assert not waveform(clean).any()
    assert str(error(hit)) == "non-finite samples: 1 of 16000 are NaN or infinite"


def test_inexact_length_is_padded_a_little_and_no_more(recordings: dict[str, Path]) -> None:
    path = str(recordings["aac.m4a"])
    padded, far = decode_spans(path, [Span(48_000, 17_000), Span(48_000, 19_000)], MONO)
    assert np.abs(waveform(padded)[0, -900:]).max() < 1e-6
    assert str(error(far)).startswith("truncated: expected 67000 samples at 16000 Hz, got 64000")


@pytest.mark.parametrize("span", [Span(-1, 10), Span(0, 0), Span(5, -5)])
def test_impossible_spans(recordings: dict[str, Path], span: Span) -> None:
    bad, good = decode_spans(str(recordings["pcm16.wav"]), [span, Span(0, 100)], MONO)
    assert str(error(bad)).startswith("not a span")
    assert waveform(good).shape == (1, 100)


def test_unreadable_file_gives_its_reason_for_every_span(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound here")
    results = decode_spans(str(tmp_path / "text.wav"), SPANS, MONO)
    assert [str(error(result)).split(" that")[0] for result in results] == ["not a media file"] * len(SPANS)
    assert str(error(decode_spans(str(tmp_path / "missing.wav"), [Span(0, 1)], MONO)[0])) == "no such file"
    assert decode_spans(str(tmp_path / "missing.wav"), [], MONO) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files in /proc")
def test_no_handle_is_left_open(recordings: dict[str, Path], video: dict[str, Path], tmp_path: Path) -> None:
    data = recordings["narrow.flac"].read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    before = len(os.listdir("/proc/self/fd"))
    for path in [*recordings.values(), *video.values(), tmp_path / "cut.flac"]:
        decode_spans(str(path), [*SPANS, Span(0, 10**9), Span(-1, 1)], MONO)
    assert len(os.listdir("/proc/self/fd")) == before


def test_neither_torch_nor_ray_is_imported() -> None:
    code = "import workers.media.decode, sys; print(sorted({'torch', 'ray', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
