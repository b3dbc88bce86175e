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

from torch import Tensor

from workers.models.weight_norm import fold_weight_norm

CodecState = dict[str, Tensor]

_TRAINING_ONLY = re.compile(r"\.codebook\.(?:inited|cluster_size|embed_avg)$")


def inference_state(state: Mapping[str, Tensor]) -> CodecState:
    """Fold the weight norms, and leave out what only training needs.

    Args:
        state: By the names above, but perhaps with gains and directions in the place of weights.

    Raises:
        ValueError: A gain does not fit its direction.
    """
    return fold_weight_norm({name: tensor for name, tensor in state.items() if not _TRAINING_ONLY.search(name)})
