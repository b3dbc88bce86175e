"""The map of a store's units as a page shows it: places, colours, facts, and the sounds of some."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.report.colouring import colour, default_colour
from pipeline.report.fields import Fields
from pipeline.report.latent_map import map_units, mapped_column, spread_out
from pipeline.report.page import MapSound
from pipeline.report.pictures import tensor_picture
from pipeline.report.recordings import ORIGINAL, Recordings
from pipeline.report.selection import sample_ids
from pipeline.report.sounds import clip_of_samples
from pipeline.store.reader import LatentStore
from pipeline.store.schema import DURATION_SECONDS
from workers.tensor_column import TensorColumn

MAPPED_UNITS = 1000
HEARD_UNITS = 24
MAX_FACT_CHARACTERS = 300


def show_map(
    store: LatentStore, fields: Fields, recordings: Recordings | None, *, colour_by: str | None, seed: int
) -> dict[str, Any]:
    """Everything of `pipeline.report.page.Contents` that is about the map; nothing where the store has no tensors.

    Args:
        store: Any store.
        fields: Its columns.
        recordings: Where the units came from, if that is known.
        colour_by: A metadata column; the one that best tells units apart if none.
        seed: Of the sample.
    """
    column = mapped_column(fields.tensors)
    if column is None or not len(store):
        return {}
    ids = sample_ids(store.ids, MAPPED_UNITS, seed, "map")
    names = [DURATION_SECONDS, *fields.metadata]
    facts = store.read(ids, names)
    values: dict[str, list[Any]] = {name: list(facts[name]) for name in names}
    values = {name: [_plain(value) for value in column_values] for name, column_values in values.items()}
    fractions = _fractions(recordings, ids)
    laid = map_units(store, column, ids, fractions)
    coloured = colour_by or default_colour({name: values[name] for name in fields.metadata})
    heard = spread_out(laid.places, HEARD_UNITS)
    sounds, note = _sounds(store, column, recordings, laid.ids, heard, fractions)
    told = [tuple(_fact(values[name][at]) for name in names) for at in range(len(ids))]
    return {
        "map": laid,
        "map_names": ("seconds", *fields.metadata),
        "map_facts": tuple(told),
        "colouring": colour(coloured, values[coloured]) if coloured else None,
        "map_sounds": sounds,
        "map_note": note,
    }


def _fractions(recordings: Recordings | None, ids: Sequence[str]) -> dict[str, float]:
    """How much of each unit is not padding."""
    if recordings is None:
        return {}
    rows = recordings.rows(ids)
    shares = np.asarray(rows["_num_samples"]) / np.maximum(np.asarray(rows["_bucket_samples"]), 1)
    return dict(zip(rows["sample_id"].to_pylist(), shares.tolist(), strict=True))


def _sounds(
    store: LatentStore,
    column: TensorColumn,
    recordings: Recordings | None,
    ids: Sequence[str],
    heard: Sequence[int],
    fractions: Mapping[str, float],
) -> tuple[dict[int, MapSound], str]:
    """What some units sound and look like, and why none can be heard if that is so."""
    unknown = "The store does not say where its recordings were, so none can be heard here."
    found = recordings.read([ids[at] for at in heard]) if recordings is not None else {}
    sounds = {}
    for at in heard:
        tensor = np.nan_to_num(store.by_id(ids[at], [column.name])[column.name].astype(np.float32))
        axis = column.channel_axis if column.channel_axis < 0 else column.channel_axis - tensor.ndim
        picture = tensor_picture(tensor, axis, fractions.get(ids[at], 1.0)) if -axis >= 2 else ""
        samples = found.get(ids[at], {}).get(ORIGINAL, unknown)
        if isinstance(samples, str):
            note = samples if samples == unknown else f"The recording cannot be read now: {samples}"
            sounds[at] = MapSound(uri="", picture=picture, note=note)
        else:
            assert recordings is not None
            clip = clip_of_samples(samples, recordings.sample_rate)
            sounds[at] = MapSound(uri=clip.uri, picture=picture, note="")
    if any(sound.uri for sound in sounds.values()):
        return sounds, ""
    reasons = sorted({sound.note for sound in sounds.values()})
    return sounds, unknown if reasons == [unknown] else "None of the recordings is where it was, so none can be heard."


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _fact(value: Any) -> str | None:
    if value is None:
        return None
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MAX_FACT_CHARACTERS else text[:MAX_FACT_CHARACTERS] + "…"
