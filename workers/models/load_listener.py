"""The one place that knows which kinds of listeners there are."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from workers.metrics.log_mel_statistics import log_mel_statistics
from workers.metrics.log_mel_statistics_spec import LogMelStatisticsSpec
from workers.metrics.one_thread import one_thread
from workers.models.ast_spec import AstSpec
from workers.models.clap_spec import ClapSpec
from workers.models.clip_listener import ClipListener, ClipModel
from workers.models.embedding_spec import EmbeddingSpec
from workers.models.listener import Heard, Listener


def load_embedding(spec: EmbeddingSpec, *, sample_rate: int, device: torch.device, microbatch: int) -> Listener:
    """Load what embeds clips.

    Args:
        spec: Which.
        sample_rate: Of the clips that it will hear, Hz.
        device: Where a model computes.
        microbatch: Windows that a model sees at once.

    Raises:
        ValueError: Its files are missing, refused, or do not fit their config; the message says what to do.
    """
    if isinstance(spec, LogMelStatisticsSpec):
        return _statistics(sample_rate)
    return ClipListener(_model(spec, device), sample_rate=sample_rate, device=device, microbatch=microbatch)


def load_classifier(spec: AstSpec, *, sample_rate: int, device: torch.device, microbatch: int) -> Listener:
    """Load what tells the classes of clips, as logarithms of their probabilities; as `load_embedding`."""
    from workers.models.ast import Ast

    model = Ast(spec, device, gives="class_log_probabilities")
    return ClipListener(model, sample_rate=sample_rate, device=device, microbatch=microbatch)


def _model(spec: EmbeddingSpec, device: torch.device) -> ClipModel:
    if isinstance(spec, ClapSpec):
        from workers.models.clap import Clap

        return Clap(spec, device)
    if isinstance(spec, AstSpec):
        from workers.models.ast import Ast

        return Ast(spec, device, gives="embedding")
    assert not isinstance(spec, LogMelStatisticsSpec)
    from workers.models.encodec import Encodec

    return Encodec(spec, device)


def _statistics(sample_rate: int) -> Listener:
    def listen(clips: Sequence[NDArray[np.float32]]) -> Heard:
        with one_thread():
            return Heard(tuple(log_mel_statistics(clip, sample_rate) for clip in clips), (None,) * len(clips))

    return listen
