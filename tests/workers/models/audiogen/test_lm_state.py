"""A state that does not have the shape is refused, and the message says what differs."""

import pytest
import torch

from workers.models.audiogen.lm_state import LmState, check_lm_state
from workers.models.audiogen.random_checkpoint import random_lm_state
from workers.models.audiogen.sizes import shape_of

SPEC = shape_of("debug").lm


def refused(state: LmState, said: str) -> None:
    with pytest.raises(ValueError, match=f"a file does not fit its settings: {said}"):
        check_lm_state(state, SPEC, source="a file")


def test_biases_are_as_long_as_their_matrix_is_high() -> None:
    state = random_lm_state(SPEC, 0)
    check_lm_state(state | {"layers.1.cross_kv.bias": torch.zeros(64), "heads.bias": torch.zeros(256)}, SPEC, source="")
    refused(state | {"heads.bias": torch.zeros(64)}, r"heads.bias is \[64\], expected \[256\]")


def test_missing_surplus_and_other_shapes() -> None:
    state = random_lm_state(SPEC, 0)
    one_less = {name: tensor for name, tensor in state.items() if name != "out_norm.bias"}
    refused(one_less, "it has no weights for out_norm.bias")
    refused(state | {"layers.0.gate": torch.zeros(1)}, "nothing takes its layers.0.gate")
    refused(state | {"embeddings.4": torch.zeros(65, 32)}, "nothing takes its embeddings.4")
    refused(state | {"embeddings.3": torch.zeros(64, 32)}, r"embeddings.3 is \[64, 32\], expected \[65, 32\]")
    refused({}, "it has no weights for embeddings.0, embeddings.1, embeddings.2 and .* more")
