"""Random weights of any shape, as functions of a seed."""

import torch

from workers.models.audiogen.checkpoint import AudioGenCheckpoint
from workers.models.audiogen.codec_state import CodecState
from workers.models.audiogen.encodec import Encodec
from workers.models.audiogen.lm_spec import LmSpec
from workers.models.audiogen.lm_state import LmState, lm_state_shapes
from workers.models.audiogen.shape import AudioGenShape, EncodecShape
from workers.models.seeded_init import drawn, generator_of, initialise

RANDOM_INIT_VERSION = 1
"""Part of the digest of random weights: change it when the way they are drawn changes."""


def random_checkpoint(shape: AudioGenShape, seed: int, *, dtype: torch.dtype = torch.float32) -> AudioGenCheckpoint:
    """A model that has learnt nothing, and takes the time and memory of one that has.

    Args:
        shape: What to fill.
        seed: Of a numpy PCG64 generator; torch's global generators are neither read nor moved.
        dtype: Of the language model's tensors, which are drawn in float32 one by one.
    """
    return AudioGenCheckpoint(
        shape=shape,
        lm_state=random_lm_state(shape.lm, seed, dtype=dtype),
        codec_state=random_codec_state(shape.codec, seed),
    )


def random_lm_state(spec: LmSpec, seed: int, *, dtype: torch.dtype = torch.float32) -> LmState:
    """Tensors by the names of `lm_state`: matrices as `seeded_init.drawn`, norms that do nothing, no biases."""
    generator = generator_of(seed)
    state: LmState = {}
    for name, shape in lm_state_shapes(spec).items():
        if len(shape) == 2:
            state[name] = drawn(shape, generator).to(dtype)
        else:
            state[name] = torch.full(shape, 0.0 if name.endswith("bias") else 1.0, dtype=dtype)
    return state


def random_codec_state(shape: EncodecShape, seed: int) -> CodecState:
    """Tensors by the names of `codec_state`, float32; entries of codebooks have a length of about one."""
    model = Encodec(shape)
    initialise(model, seed)
    generator = generator_of(seed + 1)
    state: CodecState = dict(model.state_dict())
    for name, tensor in state.items():
        if name.endswith(".codebook.embed"):
            state[name] = drawn(tensor.shape, generator)
    return state
