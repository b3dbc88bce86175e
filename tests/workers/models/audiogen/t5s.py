"""Writes T5s in the transformers format."""

from pathlib import Path

import torch


def save_t5(folder: Path, *, dtype: torch.dtype = torch.float32, d_model: int = 16) -> torch.nn.Module:
    """Writes a small T5 with its decoder, as T5s are published, and a tokenizer over words; returns its encoder."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = T5Config(vocab_size=24, d_model=d_model, d_kv=4, d_ff=32, num_layers=2, num_heads=3)
        model = T5ForConditionalGeneration(config).eval()
    model.to(dtype).save_pretrained(folder)
    words = ["<pad>", "</s>", "<unk>", *["rain", "a", "dog", "barks", "at", "the", "wind", "for", "long", "while"]]
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    encoder: torch.nn.Module = model.get_encoder()
    return encoder
