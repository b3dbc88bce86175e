"""Small random codecs in the transformers format: 8 kHz, four codebooks."""

from pathlib import Path
from typing import Any

import torch
from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel, MimiConfig, MimiModel

HOPS = {"encodec": 20, "dac": 8, "mimi": 40}
NUM_CODEBOOKS = 4


def save_codec(folder: Path, kind: str, *, seed: int = 0, **config: Any) -> Any:
    """Writes a codec and gives it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _MADE[kind](config).eval()
        spread = 1.0
        if kind == "encodec":  # whose encoder's output is small and far from 0 where weights are random
            with torch.no_grad():
                heard = model.encoder(torch.randn(1, model.config.audio_channels, 8_000))
            spread = float(heard.std(dim=2).mean())
            model.encoder.layers[-1].conv.bias.data -= heard.mean(dim=(0, 2))
        for name, buffer in model.named_buffers():
            if name.endswith((".embed", ".embed_sum")):
                buffer.normal_(std=spread)
            elif name.endswith(".cluster_usage"):
                buffer.fill_(1.0)
    model.save_pretrained(folder)
    return type(model).from_pretrained(folder).eval()


def _encodec(config: dict[str, Any]) -> EncodecModel:
    # 4 codebooks of 6 bits at 400 frames a second are 9.6 kbit/s.
    settings = {"num_filters": 4, "upsampling_ratios": [5, 4], "hidden_size": 16, "codebook_dim": 16}
    settings |= {"codebook_size": 64, "target_bandwidths": [4.8, 9.6], "sampling_rate": 8_000, "num_lstm_layers": 1}
    return EncodecModel(EncodecConfig(**settings | config))


def _dac(config: dict[str, Any]) -> DacModel:
    settings = {"encoder_hidden_size": 8, "downsampling_ratios": [2, 4], "decoder_hidden_size": 32, "codebook_dim": 4}
    settings |= {"n_codebooks": NUM_CODEBOOKS, "codebook_size": 32, "sampling_rate": 8_000}
    return DacModel(DacConfig(**settings | config))


def _mimi(config: dict[str, Any]) -> MimiModel:
    settings = {"num_filters": 4, "upsampling_ratios": [5, 4], "hidden_size": 16, "upsample_groups": 16}
    settings |= {"codebook_size": 32, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8}
    settings |= {"num_quantizers": NUM_CODEBOOKS, "num_hidden_layers": 1, "intermediate_size": 16}
    settings |= {"num_attention_heads": 2, "num_key_value_heads": 2, "sampling_rate": 8_000}
    return MimiModel(MimiConfig(**settings | config))


_MADE = {"encodec": _encodec, "dac": _dac, "mimi": _mimi}
