"""Clips that go on from a recording, or fill holes in one."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from jobs.verify import verify_store
from pipeline.quarantine import read_quarantine
from pipeline.store import LatentStore
from tests.jobs.test_generate import generate

RATE, HOP = 16_000, 320

TABLE = """name,prompt,prompt_audio,mask,duration_seconds,seed
on,a door,sounds/door.wav,,1.0,
silent text,,sounds/door.wav,,1.0,
hole,a click,sounds/door.wav,"0.1-0.2, 0.3-0.4",0.6,
other hole,a click,sounds/door.wav,0.1-0.2,0.6,
plain,a dog,,,0.6,
long,a dog,sounds/door.wav,,0.5,
missing,a dog,sounds/nothing.wav,,1.0,
bad mask,a dog,sounds/door.wav,2-1,1.0,
no sound,a dog,,1-2,1.0,
nothing at all,,,,1.0,
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("continued")
    (folder / "sounds").mkdir()
    time = np.arange(round(0.6 * 44_100)) / 44_100
    soundfile.write(folder / "sounds/door.wav", 0.3 * np.sin(2 * np.pi * 330 * time) * np.exp(-time), 44_100)
    (folder / "prompts.csv").write_text(TABLE)
    generate(folder / "prompts.csv", folder / "store", **SETTINGS)
    return folder


SETTINGS: dict[str, Any] = {"limits": {"max_failed_fraction": 1}}


def row_of(store: Path, name: str) -> dict[str, Any]:
    opened = LatentStore(store)
    (found,) = [row for row in (opened[place] for place in range(len(opened))) if row["name"] == name]
    return found


def sound_of(row: dict[str, Any]) -> np.ndarray:
    sound, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
    assert rate == RATE
    return sound * max(1.0, row["peak"])


def test_a_clip_begins_with_its_recording(made: Path) -> None:
    row = row_of(made / "store", "on")
    given, _ = soundfile.read(made / "sounds/door.wav")
    sound = sound_of(row)
    assert len(sound) == RATE
    kept = 30 * HOP - round(0.02 * RATE)
    # resampled from 44.1 kHz: every sample of ours at the time of theirs
    theirs = np.interp(np.arange(kept) / RATE, np.arange(len(given)) / 44_100, given)
    np.testing.assert_allclose(sound[100 : kept - 100], theirs[100 : kept - 100], atol=2e-3)
    assert row["prompt_audio"] == "sounds/door.wav"
    assert row["prompt_audio_seconds"] == pytest.approx(0.6)
    assert len(row["prompt_audio_fingerprint"]) == 32
    assert row["codes"].shape == (4, 50)


def test_the_text_may_be_empty_and_matters_where_it_is_not(made: Path) -> None:
    first, second = row_of(made / "store", "on"), row_of(made / "store", "silent text")
    np.testing.assert_array_equal(first["codes"][:, :30], second["codes"][:, :30])
    assert not np.array_equal(first["codes"][:, 30:], second["codes"][:, 30:])


def test_holes_alone_are_made_anew(made: Path) -> None:
    whole, two, one = (row_of(made / "store", name) for name in ("on", "hole", "other hole"))
    outside = [*range(5), *range(10, 15), *range(20, 30)]
    np.testing.assert_array_equal(two["codes"][:, outside], whole["codes"][:, outside])
    np.testing.assert_array_equal(one["codes"][:, 10:30], whole["codes"][:, 10:30])
    inside = [*range(5, 10), *range(15, 20)]
    assert not np.array_equal(two["codes"][:, inside], whole["codes"][:, inside])
    assert two["mask"] == "0.1-0.2, 0.3-0.4"


def test_rows_without_a_recording_are_made_as_ever(made: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text("name,prompt,duration_seconds\nplain,a dog,0.6\n")
    generate(tmp_path / "prompts.csv", tmp_path / "store")
    alone, beside = row_of(tmp_path / "store", "plain"), row_of(made / "store", "plain")
    assert "prompt_audio" not in alone
    assert (beside["prompt_audio"], beside["prompt_audio_seconds"]) == ("", None)
    np.testing.assert_array_equal(alone["codes"], beside["codes"])


def test_rows_that_cannot_be_used_say_why(made: Path) -> None:
    reasons = {row["name"]: row["reason"] for row in _with_names(made)}
    assert reasons.keys() == {"long", "missing", "bad mask", "no sound", "nothing at all"}
    assert "prompt_audio is as long as the clip is to be: ask for a longer clip, or set mask" in reasons["long"]
    assert "prompt_audio 'sounds/nothing.wav': " in reasons["missing"]
    assert "'2-1' ends before it begins" in reasons["bad mask"]
    assert "mask is '1-2', but there is no prompt_audio" in reasons["no sound"]
    assert reasons["nothing at all"] == "the prompt is empty"


def _with_names(made: Path) -> list[dict[str, Any]]:
    from pipeline.saved_plan import find_plan

    plan = find_plan(str(made / "store"))
    assert plan is not None
    names = dict(zip(plan["sample_id"].to_pylist(), plan["name"].to_pylist(), strict=True))
    return [row | {"name": names[row["sample_id"]]} for row in read_quarantine(str(made / "store")).to_pylist()]


def test_clips_are_made_again_bit_for_bit(made: Path) -> None:
    found = verify_store(str(made / "store"), fraction=1.0)
    assert found.sound, found.findings
    assert found.recomputation is not None
    assert found.recomputation.num_equal == found.recomputation.num_units == 5


def test_another_recording_in_its_place_is_another_clip(made: Path, tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "prompts.csv").write_text("name,prompt,prompt_audio,duration_seconds\non,a door,sounds/door.wav,1.0\n")
    door = (made / "sounds/door.wav").read_bytes()
    (tmp_path / "sounds/door.wav").write_bytes(door)
    first = generate(tmp_path / "prompts.csv", tmp_path / "store")
    again = generate(tmp_path / "prompts.csv", tmp_path / "store")
    assert (first.num_new, again.num_new) == (1, 0)
    soundfile.write(tmp_path / "sounds/door.wav", np.random.default_rng(0).normal(size=20_000) * 0.1, 44_100)
    other = generate(tmp_path / "prompts.csv", tmp_path / "store")
    assert other.num_new == 1
    assert other.manifest.content_digest != first.manifest.content_digest


def test_a_mask_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text("prompt,mask\na dog,1-2\n")
    with pytest.raises(ValueError, match=r"column 'mask' says what of 'prompt_audio' is made anew"):
        generate(tmp_path / "prompts.csv", tmp_path / "store")
