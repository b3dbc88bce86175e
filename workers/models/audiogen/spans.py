"""Stretches of time, as a person writes them: `1.5-2.75, 4-5`."""

import math
import re

_SPAN = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*-\s*(\d+(?:\.\d*)?|\.\d+)\s*")


def parse_spans(text: str) -> tuple[tuple[float, float], ...]:
    """Begin and end of each stretch, in seconds; none of an empty text.

    Args:
        text: `begin-end`, several with commas or semicolons between.

    Raises:
        ValueError: It is not that, or a stretch ends before it begins.
    """
    spans = []
    for part in re.split(r"[,;]", text) if text.strip() else ():
        match = _SPAN.fullmatch(part)
        if match is None:
            raise ValueError(f"{part.strip()!r} is no stretch of time; write begin-end in seconds, such as 1.5-2.75")
        begin, end = (float(number) for number in match.groups())
        if not begin < end < math.inf:
            raise ValueError(f"{part.strip()!r} ends before it begins")
        spans.append((begin, end))
    return tuple(spans)
