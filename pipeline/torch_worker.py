"""What a worker that computes with torch needs around it; the model stage itself knows arrays only.

Torch takes some 250 MB of every process that imports it, and seconds to do so: only actors whose worker needs it pay.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    pass


class Worker(Protocol):
    """What a worker class gives once it is loaded: any number of rows in, as many rows out."""

    def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Computes one block.

        Tensors in and out, as `ArrayWorker` says of arrays.
        """
        ...


class TorchWorker:
    """A worker of tensors, as the model stage takes one: arrays in, arrays out, over the same memory."""

    def __init__(self, load: Callable[[Any], Worker], spec: Any, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._worker = load(spec)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Computes one block; what is no array, such as a list of texts, passes as it is."""
        import torch

        from workers.microbatch import is_out_of_memory

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors = {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in batch.items()}
        try:
            results = self._worker(tensors)
        except Exception as error:
            if "CUDA error" in str(error) and not is_out_of_memory(error):
                os._exit(1)  # the context is lost: every later block would fail here, and a new actor will not
            raise
        return {name: v.numpy() if isinstance(v, torch.Tensor) else v for name, v in results.items()}
