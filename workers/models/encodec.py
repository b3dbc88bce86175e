"""EnCodec's encoder as an embedding.

Défossez et al., https://doi.org/10.48550/arXiv.2210.13438.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.models.encodec_spec import EncodecSpec
from workers.models.load_pretrained import found_checkpoint, load_pretrained


class Encodec:
    """An `EncodecModel`'s latents before quantisation, averaged over time; see `clip_listener.ClipModel`.

    Args:
        spec: Which model.
        device: Where to compute.

    Raises:
        ValueError: The files are missing, of another class, or do not fit their config.
    """

    def __init__(self, spec: EncodecSpec, device: torch.device) -> None:
        import transformers

        model = load_pretrained(transformers.EncodecModel, found_checkpoint(spec.checkpoint()), may_have_more=True)
        self._encoder = model.encoder.to(device)
        self._channels, self._normalize = int(model.config.audio_channels), bool(model.config.normalize)
        self._hop = int(model.config.hop_length)
        self.sample_rate = int(model.config.sampling_rate)
        self.window_samples = max(1, round(spec.window_seconds * self.sample_rate / self._hop)) * self._hop
        self.min_samples = self._hop

    def features(self, window: NDArray[np.float32]) -> Tensor:
        """The window filled up with silence, and where it is not silence, float32 [2, window_samples]."""
        filled = torch.zeros(2, self.window_samples)
        filled[0, : len(window)] = torch.from_numpy(window)
        filled[1, : len(window)] = 1.0
        return filled

    def vectors(self, features: Tensor) -> Tensor:
        """Means over the frames that are not filled up, float32 [B, d]."""
        waveform, mask = features[:, :1], features[:, 1:]
        lengths = mask.sum(dim=2, keepdim=True).clamp(min=1.0)  # [B, 1, 1]
        if self._normalize:
            waveform = waveform / ((waveform.square().sum(dim=2, keepdim=True) / lengths).sqrt() + 1e-8)
        latents = self._encoder(waveform.expand(-1, self._channels, -1))  # [B, d, frames]
        frames = torch.arange(latents.shape[2], device=latents.device)
        counted = (frames * self._hop < lengths).to(latents.dtype)
        vectors: Tensor = (latents * counted).sum(dim=2) / counted.sum(dim=2)
        return vectors

    def joined(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over windows."""
        return np.asarray(vectors.mean(axis=0))
