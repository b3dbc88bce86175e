"""Units side by side: what each sound comes with, and what bounds the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.report.fields import sort_fields
from pipeline.report.selection import Selection
from pipeline.report.shown_units import ShownUnit, show_units
from pipeline.store import LatentStore
from pipeline.store.schema import content_schema, store_schema
from pipeline.store.writer import PartWriter
from workers.audio.mel_spec import MelSpec
from workers.audio_column import AudioColumn
from workers.media.flac import encode_flac
from workers.number_column import NumberColumn

RATE = 16_000
IDS = ("u0", "u1", "u2")


def sound(seed: int) -> bytes:
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (1, RATE // 2)).astype(np.float32)
    return encode_flac(noise, RATE)


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    """Three units of two sounds; one sound of the last is no FLAC, and that of the second was above full scale."""
    sounds = [
        AudioColumn(name=name, num_channels=1, num_samples=RATE // 2, sample_rate=RATE, description="a sound")
        for name in ("vocoder", "original")
    ]
    numbers = [
        NumberColumn(name="vocoder_snr_db", description="ratio", unit="dB"),
        NumberColumn(name="vocoder_peak", description="peak"),
        NumberColumn(name="lsd", description="distance"),
    ]
    schema = store_schema([*sounds, *numbers], pa.schema([("caption", pa.string())]), variable_length=False)
    flacs = [sound(n) for n in range(6)]
    rows: dict[str, Any] = {
        "sample_id": IDS,
        "source": IDS,
        "start_seconds": [0.0] * 3,
        "duration_seconds": [0.5] * 3,
        "seed": [0, 1, 2],
        "microbatch": [1] * 3,
        "caption": ["a", None, "c"],
        "vocoder": [{"bytes": flac, "path": None} for flac in (*flacs[:2], b"no FLAC")],
        "original": [{"bytes": flac, "path": None} for flac in (flacs[0], *flacs[3:5])],
        "vocoder_snr_db": [None, 1.25, 2.0],
        "vocoder_peak": [0.5, 2.0, 0.5],
        "lsd": [0.5, 0.25, None],
    }
    table = pa.table(rows, schema=content_schema(schema))
    PartWriter(str(tmp_path / "store"), schema, durable=False).commit(table)
    return LatentStore(tmp_path / "store")


def shown(store: LatentStore, ids: Sequence[str] = IDS, max_bytes: int = 1 << 30) -> tuple[ShownUnit, ...]:
    return show_units(
        store,
        sort_fields(store.schema),
        Selection(best=tuple(ids[:1]), worst=(), sample=tuple(ids[1:])),
        decimals={"vocoder_snr_db": 1, "vocoder_peak": 1, "lsd": 2},
        mel=MelSpec(preset="audioldm2"),
        recordings=None,
        max_bytes=max_bytes,
    )


def test_the_original_comes_first_and_numbers_stand_with_their_sound(store: LatentStore) -> None:
    first, second, _ = shown(store)
    assert [unit.role for unit in (first, second)] == ["best", "sample"]
    assert [track.name for track in first.tracks] == ["original", "vocoder"]
    assert first.facts == (("caption", "a"), ("lsd", "0.50"))
    assert first.tracks[1].numbers == (("snr_db", "–"),)
    assert second.facts == (("lsd", "0.25"),)
    assert second.tracks[1].numbers == (("snr_db", "1.2 dB"), ("peak", "2.0"))
    assert not second.tracks[0].difference
    assert second.tracks[1].difference.startswith("data:image/png")


def test_pictures_are_at_the_level_that_was(store: LatentStore) -> None:
    first, second, _ = shown(store)
    assert first.tracks[0].picture == first.tracks[1].picture  # the same sound
    assert second.tracks[0].picture != second.tracks[1].picture


def test_a_broken_sound_costs_its_own_player(store: LatentStore) -> None:
    *_, third = shown(store)
    original, vocoder = third.tracks
    assert original.clip is not None
    assert vocoder.clip is None
    assert vocoder.note.startswith("it cannot be decoded: ")


def test_sounds_are_bounded_unit_by_unit(store: LatentStore) -> None:
    sizes = [sum(track.clip.num_bytes for track in unit.tracks if track.clip) for unit in shown(store)]
    first, second, third = shown(store, max_bytes=sizes[0] + sizes[2])
    assert all(track.clip for track in first.tracks)
    assert not any(track.clip for track in second.tracks)
    assert {track.note for track in second.tracks} == {"no player: the page holds as much sound as it may"}
    assert all(track.picture for track in second.tracks)
    assert third.tracks[0].clip is not None
