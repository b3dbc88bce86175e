"""Sounds and mels that a page carries."""

import base64
import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipeline.report.pictures import (
    MAX_COLUMNS,
    RANGE_DB,
    difference_picture,
    mel_db,
    mel_picture,
    picture_spec,
    tensor_picture,
)
from pipeline.report.sounds import PLAYED_SECONDS, clip_of_flac, clip_of_samples
from workers.audio.mel_spec import MelSpec
from workers.media.flac import encode_flac

SPEC = picture_spec(MelSpec(preset="audioldm2"))


def pixels(uri: str) -> np.ndarray:
    """RGB [rows, columns, 3] of a `data:` URI."""
    kind, _, data = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(16_000 * seconds)) / 16_000)).astype(np.float32)


def test_low_notes_are_at_the_bottom() -> None:
    low, high = (mel_db(tone(hz), SPEC) for hz in (200, 6000))
    rows = [pixels(mel_picture(mel, float(mel.max()))).sum(axis=(1, 2)).argmax() for mel in (low, high)]
    assert rows[0] > 48 > 16 > rows[1]


def test_levels_are_as_they_are() -> None:
    loud, quiet = mel_db(tone(440), SPEC), mel_db(0.1 * tone(440), SPEC)
    assert loud.max() - quiet.max() == pytest.approx(20, abs=0.1)


def test_what_is_equal_is_dark_and_what_is_not_is_coloured() -> None:
    mel = mel_db(tone(440), SPEC)
    assert pixels(difference_picture(mel, mel)).max() < 40
    added = pixels(difference_picture(mel + 20, mel)).mean(axis=(0, 1))
    missing = pixels(difference_picture(mel - 20, mel)).mean(axis=(0, 1))
    assert added[0] > added[2]
    assert missing[2] > missing[0]


def test_pictures_are_bounded_and_repeat() -> None:
    long = mel_db(tone(440, 12.0), SPEC)
    picture = mel_picture(long, float(long.max()))
    assert long.shape[1] == 1200
    assert pixels(picture).shape == (64, MAX_COLUMNS * 5 // 6, 3)  # three frames in a column
    assert picture == mel_picture(long, float(long.max()))
    assert pixels(mel_picture(long - RANGE_DB, float(long.max()))).max() < 10


def test_a_sound_too_short_for_a_frame_has_a_picture() -> None:
    assert mel_db(tone(440, 0.001), SPEC).shape == (64, SPEC.num_frames(SPEC.min_samples))


def test_latents_show_true_frames_with_a_range_per_channel() -> None:
    latent = np.random.default_rng(0).normal(size=(4, 10, 3)).astype(np.float32) + 100 * np.arange(4)[:, None, None]
    assert pixels(tensor_picture(latent.astype(np.float32), -3, 0.5)).shape == (12, 5, 3)
    assert pixels(tensor_picture(latent.astype(np.float32), -3)).std(axis=(1, 2)).min() > 20
    assert pixels(tensor_picture(np.zeros((2, 8, 6), np.float32), -2)).shape == (8, 6, 3)


def test_a_short_mono_sound_keeps_its_bytes() -> None:
    flac = encode_flac(tone(440)[None], 16_000)
    clip = clip_of_flac(flac)
    assert base64.b64decode(clip.uri.partition(",")[2]) == flac
    assert (clip.seconds, clip.is_cut, clip.num_bytes) == (1.0, False, len(flac))


@pytest.mark.parametrize("channels", [1, 2])
def test_long_and_stereo_sounds_are_mixed_and_cut(channels: int) -> None:
    clip = clip_of_flac(encode_flac(np.stack([tone(440, 20.0)] * channels), 16_000))
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(clip.uri.partition(",")[2])), always_2d=True)
    assert samples.shape == (PLAYED_SECONDS * rate, 1)
    assert clip.is_cut
    assert not clip_of_samples(tone(440), 16_000).is_cut
