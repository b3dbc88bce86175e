"""The one place that knows which kinds of listeners there are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workers.metrics.log_mel_statistics import log_mel_statistics
from workers.models.embedding_spec import EmbeddingSpec
from workers.models.listener import Heard, Listener


def load_listener(spec: EmbeddingSpec, *, sample_rate: int) -> Listener:
    """Load what embeds clips.

    Args:
        spec: Which.
        sample_rate: Of the clips that it will hear, Hz.
    """
    assert spec.kind == "log_mel_statistics"

    def statistics(clips: Sequence[NDArray[np.float32]]) -> Heard:
        return Heard(tuple(log_mel_statistics(clip, sample_rate) for clip in clips), (None,) * len(clips))

    return statistics
