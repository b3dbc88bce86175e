"""Texts to codes: windows of a language model, each continuing the one before.

    total       |===============================================|
    window 1    |-----------------------|
    window 2            |...............--------|                 . codes of the window before, as a prompt
    window 3                    |...............----------------|
                '-stride'

All in whole frames. What is given, a beginning to be continued or the parts around a hole, is kept as it is; the rest
is drawn frame by frame, each from all that is before it.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from workers.models.audiogen.decoder import Decoder, Texts
from workers.models.audiogen.delays import first_step, num_steps, to_codes, to_sequence
from workers.models.audiogen.packed_lm import PackedLm
from workers.models.audiogen.sampling import Sampler, Sampling, unit_uniforms

UNKNOWN = -1
"""Stands where a code is to be made."""


def windows(num_frames: int, *, window: int, stride: int) -> Iterator[range]:
    """The frames of each window.

    Args:
        num_frames: Of the clip.
        window: Frames that the model sees at most.
        stride: Frames that the next window leaves behind.
    """
    start, end = 0, 0
    while end < num_frames:
        end = min(start + window, num_frames)
        yield range(start, end)
        start += stride


def count_steps(num_frames: int, first_unknown: int, delays: Sequence[int], *, window: int, stride: int) -> int:
    """Steps that `generate_codes` takes for clips of which everything from a frame on is to be made.

    Args:
        num_frames: Of the clips.
        first_unknown: The frame.
        delays: Of the codebooks.
        window: Frames that the model sees at most.
        stride: Frames that a further window leaves behind.
    """
    steps, known = 0, first_unknown
    for seen in windows(num_frames, window=window, stride=stride):
        if known < seen.stop:
            steps += num_steps(len(seen), delays) - first_step(max(known - seen.start, 0), delays)
            known = seen.stop
    return steps


def generate_codes(
    model: PackedLm,
    texts: Texts,
    known: Tensor,
    *,
    guided: bool,
    sampling: Sampling,
    seeds: Sequence[int],
    window: int,
    stride: int,
    first_unknown: int = 0,
    on_step: Callable[[], None] | None = None,
) -> Tensor:
    """Make the codes of a batch that are not known.

    Args:
        model: The language model.
        texts: Of the clips, on the model's device.
        known: int64 [B, K, frames] on the CPU, UNKNOWN where a code is to be made.
        guided: Whether the clips are guided away from their null text or negative prompt.
        sampling: How tokens are chosen, a row for each clip.
        seeds: Of the clips' random numbers.
        window: Frames that the model sees at most.
        stride: Frames that a further window leaves behind.
        first_unknown: A frame before which all codes are known in every clip. They are read at once, and all behind
            them step by step, known or not: so what a clip's numbers are like follows from this and its own codes.
        on_step: Called before each step; what it raises ends the generation.

    Returns:
        int64 [B, K, frames] on the CPU; UNKNOWN everywhere for a clip whose numbers were not finite.
    """
    device, spec = texts.values.device, model.spec
    _, books, frames = known.shape
    uniforms = torch.from_numpy(np.stack([unit_uniforms(seed, frames, books) for seed in seeds])).transpose(1, 2)
    sampling = sampling.to(device)
    sampler, guidance = Sampler(sampling, spec.card), sampling.guidance[:, None]
    codes, checksum = known.clone(), torch.zeros(len(known) * (2 if guided else 1), device=device)
    settled = first_unknown
    for seen in windows(frames, window=window, stride=stride):
        if settled >= seen.stop:
            continue
        piece = codes[..., seen.start : seen.stop]
        sequence = to_sequence(piece, spec.delays, spec.card).to(device)
        numbers = to_sequence(uniforms[..., seen.start : seen.stop], spec.delays, 0).to(device)
        begin, end = first_step(max(settled - seen.start, 0), spec.delays), sequence.shape[-1]
        decoder = Decoder(model, texts, end - 1, guided=guided)
        hidden = decoder.prefill(sequence[..., :begin])
        for step in range(begin, end):
            if on_step is not None:
                on_step()
            checksum += hidden.sum(1)  # what is not finite stays so
            drawn = sampler(decoder.logits(hidden, guidance), numbers[..., step])
            place = sequence[..., step]
            place.copy_(drawn.where(place == UNKNOWN, place))
            if step + 1 < end:
                hidden = decoder.step(place)
        codes[..., seen.start : seen.stop] = to_codes(sequence, spec.delays).cpu()
        settled = seen.stop
    finite = checksum.isfinite().view(-1, len(codes)).all(0).cpu()
    return codes.where(finite[:, None, None], UNKNOWN)
