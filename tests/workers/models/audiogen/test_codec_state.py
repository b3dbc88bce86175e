"""Folding weight norm gives the weights that torch computes from gains and directions."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from workers.models.audiogen.codec_state import fold_weight_norm


@pytest.mark.parametrize("transposed", [False, True])
def test_folded_weights_are_torchs(transposed: bool) -> None:
    """Bit for bit, by torch's newer names and its older ones."""
    kind = nn.ConvTranspose1d if transposed else nn.Conv1d
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = parametrizations.weight_norm(kind(6, 4, 5))
        nn.init.normal_(layer.parametrizations.weight.original0)
    newer = {f"encoder.{name}": tensor for name, tensor in layer.state_dict().items()}
    older = {
        "encoder.bias": layer.bias,
        "encoder.weight_g": layer.parametrizations.weight.original0,
        "encoder.weight_v": layer.parametrizations.weight.original1,
    }
    for state in (newer, older):
        folded = fold_weight_norm(state)
        assert folded.keys() == {"encoder.weight", "encoder.bias"}
        assert torch.equal(folded["encoder.weight"], layer.weight)


def test_what_only_training_needs_is_left_out() -> None:
    names = ("embed", "embed_avg", "cluster_size", "inited")
    state = {f"quantizer.layers.0.codebook.{name}": torch.ones(2) for name in names}
    assert fold_weight_norm(state).keys() == {"quantizer.layers.0.codebook.embed"}
