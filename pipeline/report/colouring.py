"""What colour each of some units has, by one of their columns."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NUM_COLOURS = 10
"""Categories with a colour of their own; the rarest share one more."""
NONE, OTHERS = "none", "others"


@dataclass(frozen=True, slots=True, kw_only=True)
class Colouring:
    """Categories, or places on a scale."""

    column: str
    legend: tuple[tuple[str, int], ...]
    """Each category and how many units have it, most first; empty for numbers."""
    codes: tuple[int, ...]
    """Of each unit: its place in the legend; -1 where the value is a number, or there is none."""
    shades: tuple[str, ...]
    """Of each unit, for numbers: a colour; empty for categories, and where there is no value."""
    low: float = 0.0
    high: float = 0.0
    """Where the scale of numbers begins and ends."""


def colour(column: str, values: Sequence[Any]) -> Colouring:
    """Colours for the values of units: a scale for floats and for many different integers, else categories."""
    known = [value for value in values if value is not None]
    are_numbers = bool(known) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    if are_numbers and (any(isinstance(value, float) for value in known) or len(set(known)) > NUM_COLOURS):
        return _scale(column, values)
    texts = [NONE if value is None else str(value) for value in values]
    counts = sorted(Counter(texts).items(), key=lambda pair: (-pair[1], pair[0]))
    if len(counts) > NUM_COLOURS:
        rest = sum(count for _, count in counts[NUM_COLOURS:])
        counts = [*counts[:NUM_COLOURS], (f"{len(counts) - NUM_COLOURS} {OTHERS}", rest)]
    place = {text: code for code, (text, _) in enumerate(counts[:NUM_COLOURS])}
    codes = tuple(place.get(text, NUM_COLOURS) for text in texts)
    return Colouring(column=column, legend=tuple(counts), codes=codes, shades=("",) * len(texts))


def default_colour(columns: dict[str, Sequence[Any]]) -> str | None:
    """The column whose values best tell units apart: texts that repeat, and of those the one with most of them."""
    best, most = None, 1
    for name, values in columns.items():
        known = [value for value in values if value is not None]
        different = len({str(value) for value in known})
        are_texts = all(isinstance(value, str | bool) for value in known)
        if are_texts and most < different <= max(2, len(known) // 3) and different <= 4 * NUM_COLOURS:
            best, most = name, different
    return best


def _scale(column: str, values: Sequence[Any]) -> Colouring:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(q) for q in np.quantile(finite, [0.02, 0.98])) if len(finite) else (0.0, 1.0)
    places = np.clip((numbers - low) / max(high - low, 1e-12), 0, 1)
    palette = colormaps["viridis"]
    shades = tuple("" if np.isnan(place) else to_hex(palette(float(place))) for place in places)
    return Colouring(column=column, legend=(), codes=(-1,) * len(shades), shades=shades, low=low, high=high)
