"""Small language models with random weights, none of them at its default."""

import torch
from torch import Tensor

from workers.models.audiogen.decoder import Decoder, Texts
from workers.models.audiogen.language_model import LanguageModel
from workers.models.audiogen.lm_spec import LmSpec
from workers.models.audiogen.packed_lm import PackedLm
from workers.models.audiogen.sampling import Sampling

SPEC = LmSpec(dim=24, num_layers=2, num_heads=3, ffn_dim=40, card=30, delays=(0, 2, 1), text_dim=10)
BIASED = frozenset({"qkv", "attention_out", "cross_q", "cross_kv", "cross_out", "ffn_in", "ffn_out"})


def tiny_lm(spec: LmSpec = SPEC, *, biased: frozenset[str] = frozenset()) -> LanguageModel:
    """One whose logits are far from flat."""
    model = LanguageModel(spec, biased).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


def texts_of(spec: LmSpec, lengths: list[int], *, seed: int = 2) -> Texts:
    """Texts of some lengths, padded to the longest; those of length 0 are null."""
    mask = torch.arange(max(1, *lengths)) < torch.tensor(lengths)[:, None]
    values = torch.randn(*mask.shape, spec.dim, generator=torch.Generator().manual_seed(seed))
    return Texts(values=values * mask[..., None], mask=mask)


def sampling_of(
    num_clips: int, *, top_k: int = 0, top_p: float = 0.0, temperature: float = 1.0, guidance: float = 3.0
) -> Sampling:
    """The same for all clips."""
    return Sampling(
        temperature=torch.full((num_clips,), temperature),
        top_k=torch.full((num_clips,), top_k),
        top_p=torch.full((num_clips,), top_p),
        guidance=torch.full((num_clips,), guidance),
    )


def all_logits(model: LanguageModel, texts: Texts, sequence: Tensor, prefilled: int, *, guided: bool = True) -> Tensor:
    """Logits after each step from the last of the prefilled ones on, guided by 3, [B, K, steps, card]."""
    scale = torch.full((len(sequence), 1), 3.0)
    packed = PackedLm(model, rows=len(sequence) * (2 if guided else 1))
    decoder = Decoder(packed, texts, sequence.shape[-1], guided=guided)
    first = decoder.logits(decoder.prefill(sequence[..., :prefilled]), scale)
    steps = range(prefilled, sequence.shape[-1])
    return torch.stack([first, *(decoder.logits(decoder.step(sequence[..., step]), scale) for step in steps)], dim=2)
