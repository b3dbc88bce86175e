"""The codec's tensors under the names of transformers' `EncodecModel`, whatever file they came from.

Every weight norm is folded into the weight that it makes, and what only training needs is left out:

```
encoder.layers.0.conv.weight                  [n_filters, channels, kernel_size]
decoder.layers.3.conv.bias
decoder.layers.1.lstm.weight_ih_l0
decoder.layers.4.block.1.conv.weight          of a residual block; its skip is `shortcut.conv`
decoder.layers.0.norm.weight                  of time_group_norm
quantizer.layers.2.codebook.embed             [codebook_size, dimension]
```
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

CodecState = dict[str, Tensor]

_TRAINING_ONLY = re.compile(r"\.codebook\.(?:inited|cluster_size|embed_avg)$")
# Gains and directions, by torch's older and newer names.
_NAMES = ((".weight_g", ".weight_v"), (".parametrizations.weight.original0", ".parametrizations.weight.original1"))


def fold_weight_norm(state: Mapping[str, Tensor]) -> CodecState:
    """Put the weights where weight norm (https://doi.org/10.48550/arXiv.1602.07868) keeps gains g and directions v.

    Args:
        state: By the names above, but perhaps with gains [C, 1, 1] and directions [C, ...] in the place of weights.

    Returns:
        With weights g v / ‖v‖, where the norm is over all axes but the first; without what only training needs.
    """
    folded = {name: tensor for name, tensor in state.items() if not _TRAINING_ONLY.search(name)}
    for gain_name, direction_name in _NAMES:
        for name in [name for name in folded if name.endswith(direction_name)]:
            layer = name.removesuffix(direction_name)
            if (gain := folded.pop(f"{layer}{gain_name}", None)) is not None:
                folded[f"{layer}.weight"] = torch._weight_norm(folded.pop(name), gain, 0)
    return folded
