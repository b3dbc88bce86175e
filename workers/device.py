"""Where tensors are computed, and under which rules."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workers.device_kind import RequestedDevice


def resolve_device(device: RequestedDevice) -> torch.device:
    """The torch device of a setting; `auto` is the GPU where there is one.

    Raises:
        ValueError: `cuda` is asked for and torch sees no GPU.
    """
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but torch sees no GPU: set device to auto or cpu")
    return torch.device("cuda", torch.cuda.current_device())


@contextmanager
def repeatable_inference() -> Iterator[None]:
    """No autograd, no TF32 behind float32's back, and the same kernels on every call and in every process."""
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield
