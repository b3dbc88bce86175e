"""Codes in the order in which a language model makes them: each codebook later than the one before.

    codes, 5 frames            sequence, delays 0 1 2 (· no code)
    a0 a1 a2 a3 a4             · a0 a1 a2 a3 a4 ·  ·
    b0 b1 b2 b3 b4             · ·  b0 b1 b2 b3 b4 ·
    c0 c1 c2 c3 c4             · ·  ·  c0 c1 c2 c3 c4

Step 0 holds no code; the frame of codebook k at step s is s - 1 - delay k. The delay pattern of
https://arxiv.org/abs/2306.05284.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def num_steps(num_frames: int, delays: Sequence[int]) -> int:
    """Steps of a sequence that holds so many frames."""
    return num_frames + max(delays) + 1


def first_step(frame: int, delays: Sequence[int]) -> int:
    """The first step that holds a code of a frame."""
    return frame + 1 + min(delays)


def holds_code(num_frames: int, delays: Sequence[int]) -> Tensor:
    """Which places of a sequence hold a code: bool [K, steps]."""
    frame = torch.arange(num_steps(num_frames, delays)) - 1 - torch.tensor(delays)[:, None]
    return (frame >= 0) & (frame < num_frames)


def to_sequence(codes: Tensor, delays: Sequence[int], no_code: int) -> Tensor:
    """Codes [..., K, frames] to a sequence [..., K, steps]; `no_code` stands where there is none."""
    frames = codes.shape[-1]
    sequence = codes.new_full((*codes.shape[:-1], num_steps(frames, delays)), no_code)
    for book, delay in enumerate(delays):
        sequence[..., book, 1 + delay : 1 + delay + frames] = codes[..., book, :]
    return sequence


def to_codes(sequence: Tensor, delays: Sequence[int]) -> Tensor:
    """A sequence [..., K, steps] back to codes [..., K, frames]."""
    frames = sequence.shape[-1] - max(delays) - 1
    books = [sequence[..., book, 1 + delay : 1 + delay + frames] for book, delay in enumerate(delays)]
    return torch.stack(books, dim=-2)
