"""Initial weights that are a function of a seed."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


def generator_of(seed: int) -> np.random.Generator:
    """The generator that a seed stands for: numpy's PCG64."""
    return np.random.Generator(np.random.PCG64(seed))


def drawn(shape: Sequence[int], generator: np.random.Generator) -> Tensor:
    """A matrix or kernel, float32, uniform in ±sqrt(3 / fan_in).

    That keeps the variance of what flows through (https://doi.org/10.1109/ICCV.2015.123, with gain 1).

    Args:
        shape: [outputs, ...inputs].
        generator: Moved by as many numbers as there are.
    """
    bound = math.sqrt(3.0 / math.prod(shape[1:]))
    uniform = generator.random(math.prod(shape), dtype=np.float32)
    uniform *= 2.0 * bound  # in place: a model may have billions
    uniform -= bound
    return torch.from_numpy(uniform).view(*shape)


def initialise(module: nn.Module, seed: int) -> None:
    """Fill a module's parameters in place; torch's global generators are neither read nor moved.

    Kernels and matrices are as `drawn` says, biases zero and the gains of norms one.

    Args:
        module: On the CPU; its order of parameters is part of the result.
        seed: Of the generator.
    """
    generator = generator_of(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim >= 2:
                parameter.copy_(drawn(parameter.shape, generator))
            else:
                # An LSTM's biases are called bias_ih_l0 and so on.
                parameter.fill_(0.0 if name.rpartition(".")[2].startswith("bias") else 1.0)
