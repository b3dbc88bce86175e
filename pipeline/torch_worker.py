"""What a worker that computes with torch needs around it; the model stage itself knows arrays only.

Torch takes some 250 MB of every process that imports it, and seconds to do so: only actors whose worker needs it pay.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


class Worker(Protocol):
    """What a worker class gives once it is loaded: any number of rows in, as many rows out."""

    def __call__(self, batch: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
        """Computes one block.

        Besides the tensors there may be `microbatch` int32 [n], the rows that were computed at once.
        """
        ...


class TorchWorker:
    """A worker of tensors, as the model stage takes one: arrays in, arrays out, over the same memory."""

    def __init__(self, load: Callable[[Any], Worker], spec: Any, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._worker = load(spec)

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Computes one block."""
        import torch

        from workers.microbatch import is_out_of_memory

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors = {name: torch.from_numpy(values) for name, values in batch.items()}
        try:
            results = self._worker(tensors)
        except Exception as error:
            if "CUDA error" in str(error) and not is_out_of_memory(error):
                os._exit(1)  # the context is lost: every later block would fail here, and a new actor will not
            raise
        return {name: tensor.numpy() for name, tensor in results.items()}
