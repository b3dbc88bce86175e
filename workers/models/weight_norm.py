"""Weight norm (https://doi.org/10.48550/arXiv.1602.07868), which keeps weights as gains and directions."""

from collections.abc import Mapping

import torch
from torch import Tensor

# Gains and directions, by torch's older and newer names.
_NAMES = ((".weight_g", ".weight_v"), (".parametrizations.weight.original0", ".parametrizations.weight.original1"))


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put the weights where weight norm keeps gains g and directions v.

    Args:
        state: By name, some layers perhaps with gains [C, 1, 1] and directions [C, ...] in the place of a weight.

    Returns:
        With weights g v / ‖v‖, where the norm is over all axes but the first. A gain or direction without the other
        stays as it is.

    Raises:
        ValueError: A gain does not fit its direction.
    """
    folded = dict(state)
    for gain_name, direction_name in _NAMES:
        for name in [name for name in folded if name.endswith(direction_name)]:
            layer = name.removesuffix(direction_name)
            direction = folded[name]
            if (gain := folded.get(f"{layer}{gain_name}")) is None or not direction.ndim:
                continue
            # torch does not look: it reads and writes past the end of a gain that is too short.
            expected = [*direction.shape[:1], *[1] * (direction.ndim - 1)]
            if list(gain.shape) != expected:
                raise ValueError(
                    f"{layer}{gain_name} has the shape {list(gain.shape)}, expected {expected} for a {name} of "
                    f"{list(direction.shape)}"
                )
            folded[f"{layer}.weight"] = torch._weight_norm(direction, gain, 0)
            del folded[f"{layer}{gain_name}"], folded[name]
    return folded
