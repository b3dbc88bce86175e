"""Small random models that hear sounds, written to folders as transformers writes them."""

import json
from pathlib import Path
from typing import Any

import torch


def _seeded(make: Any, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


def write_clap(folder: Path, *, seed: int = 0, fused: bool = False, tokenizer: bool = True) -> Path:
    """A `ClapModel` that hears one second at 16 kHz, its feature extractor, and a tokenizer of bytes."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    config = ClapConfig(
        audio_config={
            "window_size": 2,
            "num_mel_bins": 16,
            "spec_size": 32,
            "patch_size": 2,
            "patch_stride": [2, 2],
            "num_classes": 4,
            "hidden_size": 32,
            "projection_dim": 16,
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "num_hidden_layers": 2,
            "patch_embeds_hidden_size": 16,
            "enable_fusion": fused,
            "aff_block_r": 2,
        },
        text_config={
            "vocab_size": 300,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 90,
            "projection_dim": 16,
        },
        projection_dim=16,
    )
    _seeded(lambda: ClapModel(config), seed).save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=16_000,
        hop_length=256,
        max_length_s=1,
        fft_window_size=512,
        frequency_min=50,
        frequency_max=8000,
        truncation="fusion" if fused else "rand_trunc",
    ).save_pretrained(folder)
    if tokenizer:
        _write_tokenizer(folder)
    return folder


def write_encodec(folder: Path, *, seed: int = 0, stereo: bool = False) -> Path:
    """An `EncodecModel` of 8 dimensions at 16 kHz, 64 samples a frame."""
    from transformers import EncodecConfig, EncodecFeatureExtractor, EncodecModel

    more: dict[str, Any] = {"audio_channels": 2, "normalize": True, "norm_type": "time_group_norm"} if stereo else {}
    if stereo:
        more["use_causal_conv"] = False
    config = EncodecConfig(
        sampling_rate=16_000,
        hidden_size=8,
        num_filters=4,
        upsampling_ratios=[4, 4, 4],
        codebook_size=16,
        codebook_dim=8,
        num_lstm_layers=1,
        target_bandwidths=[1.0],
        **more,
    )
    _seeded(lambda: EncodecModel(config), seed).save_pretrained(folder)
    EncodecFeatureExtractor(feature_size=2 if stereo else 1, sampling_rate=16_000).save_pretrained(folder)
    return folder


def write_ast(folder: Path, *, seed: int = 0, num_classes: int = 5) -> Path:
    """An `ASTForAudioClassification` that hears 64 frames at 16 kHz, 0.655 s."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        patch_size=4,
        frequency_stride=4,
        time_stride=4,
        max_length=64,
        num_mel_bins=16,
        num_labels=num_classes,
        initializer_range=0.5,  # so that classes differ from clip to clip
    )
    _seeded(lambda: ASTForAudioClassification(config), seed).save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=16, max_length=64).save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path) -> None:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import RobertaTokenizer

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *letters])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    RobertaTokenizer.from_pretrained(folder).save_pretrained(folder)
