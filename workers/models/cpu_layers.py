"""Faster layers for inference on a CPU, which compute the same functions."""

from torch import nn

from workers.models import onednn
from workers.models.winograd import WinogradConvolution


def use_cpu_layers(module: nn.Module) -> None:
    """Replace layers inside a module, in place.

    The module must be where it stays, in the type that it stays in.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.SiLU):
            child.inplace = True  # behind a normalisation, whose result nothing else reads
        elif isinstance(child, nn.Linear) and onednn.computes(child.weight.dtype):
            setattr(module, name, onednn.Linear(child))
        elif isinstance(child, nn.Conv2d) and onednn.computes(child.weight.dtype) and _pads_with_zeros(child):
            faster = WinogradConvolution(child) if WinogradConvolution.pays(child) else onednn.Convolution(child)
            setattr(module, name, faster)
        else:
            use_cpu_layers(child)


def _pads_with_zeros(layer: nn.Conv2d) -> bool:
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
