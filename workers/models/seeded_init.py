"""Initial weights that are a function of a seed."""

import math

import numpy as np
import torch
from torch import nn


def initialise(module: nn.Module, seed: int) -> None:
    """Fill a module's parameters in place; torch's global generators are neither read nor moved.

    Kernels and matrices are uniform in ±sqrt(3 / fan_in), which keeps the variance of what flows through
    (https://doi.org/10.1109/ICCV.2015.123, with gain 1); biases are zero and the gains of norms one.

    Args:
        module: On the CPU; its order of parameters is part of the result.
        seed: Seed of a numpy PCG64 generator.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim >= 2:
                bound = math.sqrt(3.0 / parameter[0].numel())
                uniform = generator.random(parameter.numel(), dtype=np.float32) * (2.0 * bound) - bound
                parameter.copy_(torch.from_numpy(uniform).view_as(parameter))
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
