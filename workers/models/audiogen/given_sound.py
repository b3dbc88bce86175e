"""A sound that is given: which of its frames are kept, and how it is joined to what is made.

    given     |~~~~~~~~~~~~~~~~~~~~|
    spans           [------]
    kept      |~~~~~|      |~~~~~~~|
    made            [------]       [---------]    the spans, and what lies behind the sound's end

A frame that is made in part is made as a whole. Codes that are kept stay as they are; so do samples, but for the last
of them before a seam, where the sound that was given fades into the one that the codec makes of its codes.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

FADE_SECONDS = 0.02


def kept_frames(
    num_frames: int, given_samples: int, spans: Sequence[tuple[float, float]], *, hop_length: int, sample_rate: int
) -> Tensor:
    """Which frames of a clip are those of the sound that is given, bool [num_frames].

    Args:
        num_frames: Of the clip.
        given_samples: Of the sound.
        spans: That are made anew, in seconds.
        hop_length: Samples per frame.
        sample_rate: Hz.
    """
    frame = torch.arange(num_frames)
    kept = (frame + 1) * hop_length <= given_samples
    for begin, end in spans:
        first = math.floor(begin * sample_rate / hop_length)
        kept &= (frame < first) | (frame >= math.ceil(end * sample_rate / hop_length))
    return kept


def rejoined(made: Tensor, given: Tensor, kept: Tensor, *, hop_length: int, sample_rate: int) -> Tensor:
    """A clip with the samples that are kept as they were given.

    Args:
        made: float32 [C, frames · hop_length], what the codec makes of all codes.
        given: float32 [C, N].
        kept: bool [frames].
        hop_length: Samples per frame.
        sample_rate: Hz.

    Returns:
        float32 in the shape of `made`.
    """
    whole = torch.nn.functional.pad(given, (0, max(0, made.shape[1] - given.shape[1])))[:, : made.shape[1]]
    distance = _distance_to_made(kept.repeat_interleave(hop_length))
    share = (distance / max(1, round(FADE_SECONDS * sample_rate))).clamp(max=1.0)
    weight = (0.5 - 0.5 * torch.cos(torch.pi * share)).to(made.dtype)
    return torch.where(weight == 1.0, whole, weight * whole + (1.0 - weight) * made)


def _distance_to_made(kept: Tensor) -> Tensor:
    """Of each sample from the nearest one that is made, in samples, float64 [T]; infinite where none is."""
    place = torch.arange(len(kept), dtype=torch.float64)
    before = torch.where(kept, -torch.inf, place).cummax(0).values
    behind = torch.where(kept, torch.inf, place).flip(0).cummin(0).values.flip(0)
    return torch.minimum(place - before, behind - place)
