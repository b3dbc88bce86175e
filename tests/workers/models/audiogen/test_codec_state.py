"""What only training needs is no part of a codec's state."""

import torch

from workers.models.audiogen.codec_state import inference_state


def test_what_only_training_needs_is_left_out() -> None:
    names = ("embed", "embed_avg", "cluster_size", "inited")
    state = {f"quantizer.layers.0.codebook.{name}": torch.ones(2) for name in names}
    assert inference_state(state).keys() == {"quantizer.layers.0.codebook.embed"}
