"""Vocoders of any kind, from log-mels to waveforms."""

import torch
from torch import Tensor

from workers.models.hifigan import HifiganGenerator, load_hifigan
from workers.models.hifigan_spec import HifiganSpec
from workers.models.pieces import Pieces
from workers.models.transformers_vocoder import TransformersVocoder, load_transformers_vocoder
from workers.models.vocoder_spec import VocoderSpec


class Vocoder:
    """A vocoder that takes mels [B, n_mels, T] and gives just the samples of their frames.

    Weights are computed in float32 until `to` says otherwise, whatever type they were saved in. On a CPU its results
    depend neither on the number of threads nor on neighbours: each row is computed by one thread.

    Args:
        spec: Which model.

    Raises:
        ValueError: The files are missing, refused, or do not fit their config; the message says what to do.
    """

    def __init__(self, spec: VocoderSpec) -> None:
        self.model = _load(spec)
        self.model.eval().requires_grad_(False)
        self.hop_length = self.model.hop_length
        """Samples per mel frame."""
        self._dtype = torch.float32
        self._rows = Pieces(1)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Vocoder":
        """Move the weights."""
        self.model.to(device=device, dtype=dtype)
        self._dtype = dtype
        return self

    def __call__(self, mel: Tensor) -> Tensor:
        """Turn log-mels into sound.

        Args:
            mel: [B, n_mels, T], in any floating type; computed in the type of the weights.

        Returns:
            float32 [B, T * hop_length] within [-1, 1]; what the network gives beyond the last frame is cut off.

        Raises:
            ValueError: The mel has another shape.
        """
        n_mels = self.model.n_mels
        if mel.ndim != 3 or mel.shape[1] != n_mels:
            raise ValueError(f"expected a mel [B, {n_mels}, T], got shape {list(mel.shape)}")
        return self._rows.map(self._waveform, mel) if mel.device.type == "cpu" else self._waveform(mel)

    def _waveform(self, mel: Tensor) -> Tensor:
        waveform: Tensor = self.model(mel.to(self._dtype))
        return waveform[:, : mel.shape[2] * self.hop_length].float()


def _load(spec: VocoderSpec) -> TransformersVocoder | HifiganGenerator:
    """Where it is known which kinds of vocoders there are."""
    return load_hifigan(spec) if isinstance(spec, HifiganSpec) else load_transformers_vocoder(spec)
