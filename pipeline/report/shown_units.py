"""Single units to be heard and seen: the original and what became of it, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.report.fields import Fields
from pipeline.report.numbers import format_number
from pipeline.report.pictures import RANGE_DB, difference_picture, mel_db, mel_picture, picture_spec
from pipeline.report.recordings import ORIGINAL, Found, Recordings
from pipeline.report.selection import Selection
from pipeline.report.sounds import PLAYED_SECONDS, Clip, clip_of_flac, clip_of_samples, read_flac
from pipeline.store.reader import LatentStore
from pipeline.store.schema import DURATION_SECONDS, SAMPLE_ID
from workers.audio.mel_spec import MelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One sound of a unit."""

    name: str
    clip: Clip | None
    """None where it cannot be had, or where the page holds enough of them."""
    note: str
    """Why there is none."""
    picture: str
    """Its mel as a `data:` URI; empty where there is none."""
    difference: str
    """What differs from the original's mel, likewise."""
    numbers: tuple[tuple[str, str], ...]
    """What was measured of it: name and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownUnit:
    """A unit with all its sounds."""

    sample_id: str
    role: str
    """`best`, `worst` or `sample`."""
    seconds: float
    facts: tuple[tuple[str, str], ...]
    """Metadata, and numbers that belong to no sound of it: name and value."""
    tracks: tuple[Track, ...]


def show_units(
    store: LatentStore,
    fields: Fields,
    selection: Selection,
    *,
    decimals: Mapping[str, int],
    mel: MelSpec | None,
    recordings: Recordings | None,
    max_bytes: int,
) -> tuple[ShownUnit, ...]:
    """Puts the chosen units together, in the order of the selection.

    Args:
        store: Any store.
        fields: Its columns.
        selection: The units.
        decimals: Digits behind the point for each number column.
        mel: The front end that pictures are made with; of the sounds' own rate if none.
        recordings: Where the original is read from where the store does not hold it.
        max_bytes: Bound on the FLAC of all of them; units beyond it come without players.
    """
    names = [SAMPLE_ID, DURATION_SECONDS, *fields.metadata, *(number.name for number in fields.numbers)]
    names += [*fields.statuses, *fields.sounds]
    found = [] if fields.sounds or recordings is None else list(selection.ids)
    originals = recordings.read(found) if recordings is not None and found else {}
    shown, left = [], max_bytes
    roles = [role for role in ("best", "worst", "sample") for _ in getattr(selection, role)]
    for sample_id, role in zip(selection.ids, roles, strict=True):
        row = store.by_id(sample_id, names)  # one at a time: a row holds all its sounds
        if fields.sounds:
            tracks = _stored_tracks(row, fields, decimals, mel)
        elif recordings is None:
            tracks = []
        else:
            gone: dict[str, Found] = {ORIGINAL: "the plan does not say where it was"}
            tracks = _recorded_tracks(originals.get(sample_id, gone), recordings.sample_rate, mel)
        size = sum(track.clip.num_bytes for track in tracks if track.clip)
        if size > left:
            tracks = [_silenced(track) for track in tracks]
        left -= size if size <= left else 0
        facts = [(name, _shown(row[name])) for name in fields.metadata if row[name] is not None]
        facts += _numbers(row, fields, decimals, "", fields.sounds)
        shown.append(
            ShownUnit(
                sample_id=sample_id,
                role=role,
                seconds=float(row[DURATION_SECONDS]),
                facts=tuple(facts),
                tracks=tuple(tracks),
            )
        )
    return tuple(shown)


def _stored_tracks(
    row: dict[str, Any], fields: Fields, decimals: Mapping[str, int], mel: MelSpec | None
) -> list[Track]:
    """The original first; pictures of all have one range of colours, that of the first."""
    names = sorted(fields.sounds, key=lambda name: name != ORIGINAL)
    mels: dict[str, NDArray[np.float32]] = {}
    broken: dict[str, str] = {}
    for name in names:
        try:
            samples, rate = read_flac(row[name]["bytes"])
        except soundfile.LibsndfileError as error:
            broken[name] = f"it cannot be decoded: {error}"
            continue
        peak = row.get(f"{name}_peak")
        gain = peak if isinstance(peak, float) and np.isfinite(peak) and peak > 1 else 1.0  # what FLAC could not hold
        kept = samples[: round(PLAYED_SECONDS * rate)] * np.float32(gain)
        mels[name] = mel_db(kept, _front_end(mel, rate))
    loudest = float(next(iter(mels.values())).max()) if mels else 0.0
    original = mels.get(ORIGINAL)
    tracks = []
    for name in names:
        numbers = tuple(_numbers(row, fields, decimals, name, fields.sounds))
        if name in broken:
            tracks.append(Track(name=name, clip=None, note=broken[name], picture="", difference="", numbers=numbers))
            continue
        tracks.append(
            Track(
                name=name,
                clip=clip_of_flac(row[name]["bytes"]),
                note="",
                picture=mel_picture(mels[name], loudest),
                difference="" if original is None or name == ORIGINAL else _difference(mels[name], original, loudest),
                numbers=numbers,
            )
        )
    return tracks


def _difference(mel: NDArray[np.float32], original: NDArray[np.float32], loudest: float) -> str:
    """Of what is loud enough to be in the pictures: below that, differences of silence would be all that one sees."""
    if mel.shape[0] != original.shape[0]:  # sounds of several rates have mels of their own
        return ""
    floor = loudest - RANGE_DB
    return difference_picture(np.maximum(mel, floor), np.maximum(original, floor))


def _recorded_tracks(found: Mapping[str, Found], rate: int, mel: MelSpec | None) -> list[Track]:
    """The original first; pictures have one range of colours, as those of stored sounds."""
    mels = {
        name: mel_db(np.nan_to_num(samples[: round(PLAYED_SECONDS * rate)]), _front_end(mel, rate))
        for name, samples in found.items()
        if not isinstance(samples, str)
    }
    loudest = float(next(iter(mels.values())).max()) if mels else 0.0
    tracks = []
    for name, samples in found.items():
        if isinstance(samples, str):
            note = f"the recording cannot be read now: {samples}"
            tracks.append(Track(name=name, clip=None, note=note, picture="", difference="", numbers=()))
            continue
        original = mels.get(ORIGINAL)
        tracks.append(
            Track(
                name=name,
                clip=clip_of_samples(np.nan_to_num(samples), rate),
                note="",
                picture=mel_picture(mels[name], loudest),
                difference="" if original is None or name == ORIGINAL else _difference(mels[name], original, loudest),
                numbers=(),
            )
        )
    return tracks


def _silenced(track: Track) -> Track:
    note = track.note or "no player: the page holds as much sound as it may"
    return Track(
        name=track.name,
        clip=None,
        note=note,
        picture=track.picture,
        difference=track.difference,
        numbers=track.numbers,
    )


def _front_end(mel: MelSpec | None, rate: int) -> MelSpec:
    if mel is not None and mel.sample_rate == rate:
        return picture_spec(mel)
    hop, length = max(16, round(0.01 * rate)), max(64, round(0.064 * rate))
    return picture_spec(
        MelSpec(sample_rate=rate, f_max_hz=rate / 2, n_fft=length, win_length=length, hop_length=hop, n_mels=64)
    )


def _numbers(
    row: dict[str, Any], fields: Fields, decimals: Mapping[str, int], sound: str, sounds: Mapping[str, object]
) -> list[tuple[str, str]]:
    """Numbers of one sound, or of none of them where `sound` is empty."""
    found = []
    for number in fields.numbers:
        owner = number.name[: -len(number.group) - 1] if number.group != number.name else ""
        if (owner if owner in sounds else "") != sound:
            continue
        if number.group == "peak" and (row[number.name] or 0.0) <= 1:  # only where the FLAC is quieter than the sound
            continue
        value = format_number(row[number.name], decimals.get(number.name, 2), number.unit)
        reason = row[number.status] if number.status and row[number.name] is None else None
        found.append((number.group if sound else number.name, f"– ({reason})" if reason else value))
    return found


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,.6g}" if isinstance(value, float) else str(value)
