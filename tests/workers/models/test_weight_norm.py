"""Folding weight norm gives the weights that torch computes from gains and directions."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from workers.models.weight_norm import fold_weight_norm


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


def test_a_gain_of_another_layer_is_refused() -> None:
    state = {"conv.weight_g": torch.ones(3, 1, 1), "conv.weight_v": torch.ones(4, 2, 3)}
    with pytest.raises(ValueError, match=r"conv.weight_g has the shape \[3, 1, 1\], expected \[4, 1, 1\]"):
        fold_weight_norm(state)


def test_a_direction_without_its_gain_stays() -> None:
    state = {"conv.weight_v": torch.ones(4, 2, 3), "other.weight_g": torch.ones(4, 1, 1)}
    assert fold_weight_norm(state) == state
