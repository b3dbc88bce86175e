"""Audio spectrogram transformers, as classifiers and as embeddings.

Gong et al., https://doi.org/10.21437/Interspeech.2021-698.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.models.ast_spec import AstSpec
from workers.models.load_pretrained import found_checkpoint, load_pretrained


class Ast:
    """An `ASTForAudioClassification`; see `workers.models.clip_listener.ClipModel`.

    Args:
        spec: Which model.
        device: Where to compute.
        gives: The logarithms of class probabilities (a softmax, over windows their mean), or the pooled hidden state.

    Raises:
        ValueError: The files are missing, of another class, or do not fit their config.
    """

    def __init__(
        self, spec: AstSpec, device: torch.device, *, gives: Literal["class_log_probabilities", "embedding"]
    ) -> None:
        import transformers

        checkpoint = found_checkpoint(spec.checkpoint())
        self._model = load_pretrained(transformers.ASTForAudioClassification, checkpoint, may_have_more=True).to(device)
        self._classifies = gives == "class_log_probabilities"
        settings = {name: value for name, value in spec.feature_settings().items() if name != "feature_extractor_type"}
        self._extractor: Any = transformers.ASTFeatureExtractor(**settings)
        self.sample_rate = int(self._extractor.sampling_rate)
        frame, hop = self.sample_rate * 25 // 1000, self.sample_rate * 10 // 1000
        self.min_samples = frame
        self.window_samples = frame + (int(self._extractor.max_length) - 1) * hop

    def features(self, window: NDArray[np.float32]) -> Tensor:
        """Normalised log-mels, float32 [frames, n_mels]."""
        found = self._extractor(np.array(window), sampling_rate=self.sample_rate, return_tensors="np")
        return torch.from_numpy(np.asarray(found["input_values"][0], np.float32))

    def vectors(self, features: Tensor) -> Tensor:
        """[B, K] or [B, d]."""
        if self._classifies:
            logits: Tensor = self._model(features).logits
            return logits.float().log_softmax(dim=1)
        vectors: Tensor = self._model.audio_spectrogram_transformer(features).pooler_output
        return vectors.float()

    def joined(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The logarithm of the mean probability, or the mean."""
        if not self._classifies:
            return np.asarray(vectors.mean(axis=0))
        highest = vectors.max(axis=0)
        return np.asarray(highest + np.log(np.exp(vectors - highest).mean(axis=0)))
