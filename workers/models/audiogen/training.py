"""What a language model of codes is trained on."""

import torch
from torch import Tensor
from torch.nn import functional

from workers.models.audiogen.delays import holds_code, to_codes, to_sequence
from workers.models.audiogen.language_model import LanguageModel


def teacher_forced_loss(
    model: LanguageModel, codes: Tensor, text: Tensor, text_mask: Tensor, num_frames: Tensor | None = None
) -> Tensor:
    """Cross-entropy of each code, given all that is before it in the delayed order.

    Args:
        model: In training or not.
        codes: int64 [B, K, frames].
        text: As `LanguageModel.conditioning` gives it, [B, L, D]; rows of zeros train the null text.
        text_mask: bool [B, L].
        num_frames: int64 [B], frames that count; all if none.

    Returns:
        Scalar: the mean over the codes that count of a codebook, and then over the codebooks.

    Raises:
        ValueError: The codes have another shape, or values that no codebook has.
    """
    spec = model.spec
    if codes.ndim != 3 or codes.shape[1] != spec.num_codebooks:
        raise ValueError(f"expected codes [B, {spec.num_codebooks}, frames], got shape {list(codes.shape)}")
    lowest, highest = (int(value) for value in codes.aminmax())
    if lowest < 0 or highest >= spec.card:
        raise ValueError(f"expected codes from 0 to {spec.card - 1}, got {lowest} to {highest}")
    frames = codes.shape[-1]
    sequence = to_sequence(codes, spec.delays, spec.card)
    counts = holds_code(frames, spec.delays).to(codes.device).expand(len(codes), -1, -1)
    if num_frames is not None:
        inside = torch.arange(frames, device=codes.device) < num_frames.to(codes.device)[:, None]
        inside = to_sequence(inside[:, None].expand_as(codes), spec.delays, False)
        counts = counts & inside
    logits = model(sequence[..., :-1], text, text_mask)  # [B, K, steps - 1, card]: of what follows each step
    targets = sequence[..., 1:].clamp(max=spec.card - 1)
    losses = functional.cross_entropy(logits.flatten(0, 2), targets.flatten(), reduction="none").view_as(targets)
    weights = counts[..., 1:].to(losses.dtype)
    by_codebook = (losses * weights).sum(dim=(0, 2)) / weights.sum(dim=(0, 2)).clamp(min=1)
    return by_codebook.mean()


def predicted_codes(model: LanguageModel, codes: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
    """The likeliest code at each place, given all that is before it: int64 [B, K, frames]."""
    sequence = to_sequence(codes, model.spec.delays, model.spec.card)
    following = model(sequence[..., :-1], text, text_mask).argmax(-1)
    return to_codes(functional.pad(following, (1, 0)), model.spec.delays)
