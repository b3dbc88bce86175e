"""Vocoders in the transformers format, from log-mels to sound."""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from workers.models.load_pretrained import load_pretrained
from workers.models.seeded_init import initialise
from workers.models.transformers_vocoder_spec import AUDIOLDM2_VOCODER, TransformersVocoderSpec, vocoder_class


class TransformersVocoder(nn.Module):
    """A `SpeechT5HifiGan` (HiFi-GAN, Kong et al. 2020, doi 10.48550/arXiv.2010.05646), or one of its structure.

    Args:
        model: Of transformers.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.n_mels = int(model.config.model_in_dim)
        self.hop_length = prod(model.config.upsample_rates)
        """Samples per mel frame."""

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mels [B, n_mels, T] to sound [B, at least T * hop_length] within [-1, 1], in the type of the weights."""
        sound: Tensor = self.model(mel.transpose(1, 2).contiguous())  # the network wants time first
        return sound


def load_transformers_vocoder(spec: TransformersVocoderSpec) -> TransformersVocoder:
    """Build a vocoder with its weights, in float32, on the CPU.

    Raises:
        ValueError: The files are missing, of another class, pickled without leave, or do not fit their config.
    """
    import transformers

    checkpoint = spec.checkpoint()
    if checkpoint is None:
        return TransformersVocoder(_random(spec.seed))
    model_class = getattr(transformers, vocoder_class(checkpoint.config, spec.weights))
    return TransformersVocoder(load_pretrained(model_class, checkpoint))


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
