"""The demo library is varied, captioned, reproducible and well formed."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.demo_acoustics import Clock, band, noise, tone
from jobs.demo_sounds import DEMO_SOUNDS, synthesise, write_demo_sounds


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_sounds(tmp_path_factory.mktemp("demo") / "sounds")


def rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_manifest_names_every_file_once(manifest: Path) -> None:
    listed = [row["path"] for row in rows(manifest)]
    assert sorted(listed) == sorted(path.name for path in manifest.parent.iterdir() if path != manifest)
    assert len(set(listed)) == len(listed) == len(DEMO_SOUNDS) >= 12
    assert all(row["caption"] and row["category"] for row in rows(manifest))
    assert manifest.name == "captions.csv"


def test_rates_channels_lengths_and_formats_are_mixed(manifest: Path) -> None:
    infos = [soundfile.info(manifest.parent / row["path"]) for row in rows(manifest)]
    assert len({info.samplerate for info in infos}) >= 6
    assert {info.channels for info in infos} == {1, 2}
    assert {info.format for info in infos} >= {"FLAC", "WAV", "OGG"}
    assert {info.subtype for info in infos} >= {"PCM_16", "PCM_24", "FLOAT", "VORBIS"}
    assert min(info.duration for info in infos) == pytest.approx(1)
    assert max(info.duration for info in infos) == pytest.approx(12)


@pytest.mark.parametrize("name", DEMO_SOUNDS)
def test_sound_is_audible_centred_and_free_of_clicks_at_its_ends(name: str) -> None:
    samples, rate = synthesise(name)
    assert samples.dtype == np.float32
    assert rate == DEMO_SOUNDS[name].rate
    assert np.abs(samples).max() == pytest.approx(DEMO_SOUNDS[name].peak, rel=1e-6)
    assert 20 * np.log10(samples.std()) > -45
    assert abs(samples.mean()) < 2e-3
    assert np.abs(samples[[0, -1]]).max() < 1e-6


def test_equal_seeds_give_equal_samples_and_others_do_not() -> None:
    np.testing.assert_array_equal(synthesise("laser", seed=5)[0], synthesise("laser", seed=5)[0])
    assert not np.array_equal(synthesise("laser", seed=5)[0], synthesise("laser", seed=6)[0])
    assert len(synthesise("laser", variation=1)[0]) < len(synthesise("laser")[0])


def test_variations_have_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(DEMO_SOUNDS) - {"laser", "drip"}:
        monkeypatch.delitem(DEMO_SOUNDS, name)
    listed = [row["path"] for row in rows(write_demo_sounds(tmp_path, variations=3, seed=1))]
    assert listed == ["laser_1.wav", "drip_1.wav", "laser_2.wav", "drip_2.wav", "laser_3.wav", "drip_3.wav"]
    assert len({(tmp_path / name).read_bytes() for name in listed}) == 6


def test_noise_follows_its_gain() -> None:
    clock = Clock(16000, 32000)
    power = np.abs(np.fft.rfft(noise(np.random.default_rng(0), clock, band(1000, 2000)))) ** 2
    hz = np.fft.rfftfreq(clock.num, 1 / clock.rate)
    for low, high in ((100, 400), (1100, 1800), (4000, 7000)):
        here = (hz > low) & (hz < high)
        expected = band(1000, 2000)(hz[here]) ** 2
        reference = band(1000, 2000)(hz) ** 2
        assert power[here].mean() / power.mean() == pytest.approx(expected.mean() / reference.mean(), rel=0.1)


def test_tone_has_its_pitch_and_no_alias() -> None:
    clock = Clock(8000, 8000)
    spectrum = np.abs(np.fft.rfft(tone(1500.0, clock, (1, 0.5, 0.5)))) / (clock.num / 2)
    assert spectrum[1500] == pytest.approx(1, abs=1e-6)
    assert spectrum[3000] == pytest.approx(0.5, abs=1e-6)
    assert spectrum[3500] < 1e-6  # where 4500 Hz would fold to
