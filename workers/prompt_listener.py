"""Clips held against the texts that they were made from."""

from collections.abc import Sequence
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray

from workers.metrics.clap_score import clap_score
from workers.models.clap import Clap
from workers.models.clap_spec import ClapSpec
from workers.models.clip_listener import ClipListener, in_rows
from workers.models.pieces import Pieces


class PromptListener:
    """One CLAP model, for clips and for texts.

    Args:
        spec: Which model.
        sample_rate: Of the clips, Hz.
        device: Where to compute.
        microbatch: Windows or texts that the model sees at once.

    Raises:
        ValueError: The model or its tokenizer cannot be loaded.
    """

    def __init__(self, spec: ClapSpec, *, sample_rate: int, device: torch.device, microbatch: int) -> None:
        self.dimension = spec.dimension
        """Of the vectors, d."""
        self._model = Clap(spec, device)
        self._model.tokens([""])  # a missing tokenizer is an error now, not with the first block
        self.clips = ClipListener(self._model, sample_rate=sample_rate, device=device, microbatch=microbatch)
        self._device, self._microbatch, self._pieces = device, microbatch, Pieces(1)

    def __call__(
        self, clips: Sequence[tuple[NDArray[np.float32], str]], texts: Sequence[str], orphans: Sequence[bool]
    ) -> list[tuple[float, str]]:
        """Score clips.

        Args:
            clips: Vector [d] and status of each.
            texts: Of each; an empty one is none.
            orphans: Which of them have no reference, and so no text of one.

        Returns:
            Value, NaN where there is none, and status of each.
        """
        written = [text.strip() for text in texts]
        given = [row for row, text in enumerate(written) if text]
        read = np.zeros((len(written), 1), np.float32)
        if given:
            vectors = self._read([written[row] for row in given])
            read = np.zeros((len(written), vectors.shape[1]), np.float32)
            read[given] = vectors
        scores = []
        for row, (vector, status) in enumerate(clips):
            if status == "ok" and not written[row]:
                status = "no_reference" if orphans[row] else "no_text"
            if status != "ok":
                scores.append((nan, status))
                continue
            score = clap_score(read[row], vector)
            scores.append((nan if score.value is None else score.value, score.status))
        return scores

    def _read(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = (
            in_rows(
                self._model.text_vectors,
                self._model.tokens(texts),
                device=self._device,
                microbatch=self._microbatch,
                pieces=self._pieces,
            )
            .values[0]
            .numpy()
        )
        return vectors
