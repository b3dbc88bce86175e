"""Writes MusicGens in the transformers format."""

import logging
from pathlib import Path
from typing import Any

import torch


def save_musicgen(folder: Path, *, stereo: bool = False, text_dim: int = 20, seed: int = 0, **codec: Any) -> Any:
    """Writes a small random MusicGen of 40 codes; returns the model."""
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )

    logging.getLogger("transformers").setLevel(logging.ERROR)
    channels = 2 if stereo else 1
    settings = {
        "sampling_rate": 3000,
        "upsampling_ratios": [5, 3],
        "codebook_size": 64,
        "hidden_size": 12,
        "num_filters": 4,
        "num_lstm_layers": 1,
        "use_causal_conv": False,
        "pad_mode": "reflect",
        "target_bandwidths": [3.7],  # 3 codebooks, 200 frames of 6 bits
    }
    config = MusicgenConfig(
        text_encoder=T5Config(vocab_size=30, d_model=text_dim, d_kv=4, d_ff=16, num_layers=1, num_heads=2).to_dict(),
        audio_encoder=EncodecConfig(**(settings | codec)).to_dict(),
        decoder=MusicgenDecoderConfig(
            vocab_size=64,
            max_position_embeddings=64,
            num_hidden_layers=2,
            ffn_dim=40,
            num_attention_heads=3,
            hidden_size=24,
            num_codebooks=3 * channels,
            audio_channels=channels,
            pad_token_id=64,
            bos_token_id=64,
        ).to_dict(),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MusicgenForConditionalGeneration(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():  # nothing at what it is initialised to
                parameter.add_(torch.randn_like(parameter) * 0.1)
            for layer in model.audio_encoder.quantizer.layers:
                layer.codebook.embed.copy_(torch.randn_like(layer.codebook.embed))
    model.generation_config.update(guidance_scale=2.5, max_length=800, pad_token_id=64)
    model.save_pretrained(folder)
    return model
