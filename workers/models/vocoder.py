"""Vocoders in the transformers format, from log-mels to waveforms."""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from workers.models.load_pretrained import load_pretrained
from workers.models.pieces import Pieces
from workers.models.seeded_init import initialise
from workers.models.vocoder_spec import AUDIOLDM2_VOCODER, VocoderSpec


class Vocoder:
    """A `SpeechT5HifiGan` (HiFi-GAN, Kong et al. 2020, doi 10.48550/arXiv.2010.05646) that takes mels [B, n_mels, T].

    Weights are computed in float32 until `to` says otherwise, whatever type they were saved in. On a CPU its results
    depend neither on the number of threads nor on neighbours: each row is computed by one thread.

    Args:
        spec: Which model.

    Raises:
        ValueError: The files are missing, of another class, pickled without leave, or do not fit their config.
    """

    def __init__(self, spec: VocoderSpec) -> None:
        import transformers

        checkpoint = spec.checkpoint()
        if checkpoint is None:
            self.model = _random(spec.seed)
        else:
            self.model = load_pretrained(transformers.SpeechT5HifiGan, checkpoint)
        self.model.eval().requires_grad_(False)
        self.hop_length: int = prod(self.model.config.upsample_rates)
        """Samples per mel frame."""
        self._rows = Pieces(1)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Vocoder":
        """Move the weights."""
        nn.Module.to(self.model, device=device, dtype=dtype)
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
        n_mels = int(self.model.config.model_in_dim)
        if mel.ndim != 3 or mel.shape[1] != n_mels:
            raise ValueError(f"expected a mel [B, {n_mels}, T], got shape {list(mel.shape)}")
        return self._rows.map(self._waveform, mel) if mel.device.type == "cpu" else self._waveform(mel)

    def _waveform(self, mel: Tensor) -> Tensor:
        frames = mel.to(self.model.dtype).transpose(1, 2).contiguous()  # the network wants time first
        waveform: Tensor = self.model(frames)
        return waveform[:, : mel.shape[2] * self.hop_length].float()


def _random(seed: int) -> Any:
    import transformers

    settings = {name: value for name, value in AUDIOLDM2_VOCODER.items() if name != "architectures"}
    # Built without memory first: modules would draw their initial weights from torch's global generator.
    with torch.device("meta"):
        model = transformers.SpeechT5HifiGan(transformers.SpeechT5HifiGanConfig(**settings))
    model.to_empty(device="cpu")
    initialise(model, seed)
    with torch.no_grad():
        model.mean.zero_()
        model.scale.fill_(1.0)
    return model
