"""PESQ in a process that it may kill; `Guard` calls this."""

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workers.metrics.outcome import Score


def score_each(
    items: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]], *, band: Literal["wb", "nb"]
) -> Iterator[Score]:
    """MOS-LQO of pairs of reference and degraded clips [T] at 16 kHz, neither of them all zeros.

    Raises:
        ImportError: The package `pesq` is missing or cannot be loaded.
        pesq.PesqError: PESQ failed, for another reason than that a clip is too short or holds no utterance.
    """
    from pesq import BufferTooShortError, NoUtterancesError, pesq

    for reference, degraded in items:
        try:
            yield Score.of(pesq(16_000, reference, degraded, band))
        except BufferTooShortError:
            yield Score.undefined("too_short")
        except NoUtterancesError:
            yield Score.undefined("no_utterance")
