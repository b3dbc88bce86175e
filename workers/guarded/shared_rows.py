"""Memory that a guarded child writes arrays into and its parent reads them from, without a copy in between."""

import mmap
import os
import tempfile
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]


class SharedRows:
    """Rows of one shape, float32 [rows, channels, samples].

    Fresh memory costs as much as a tenth of the decoding that fills it, in page faults of both processes. So it is
    used again, once nobody refers to the array that was handed out, nor to a view of it.
    """

    def __init__(self, number: int, num_bytes: int) -> None:
        self.number = number
        """Name of the memory between parent and child."""
        self.num_bytes = num_bytes
        self.file = anonymous_file(num_bytes)
        self._mapped = mmap.mmap(self.file, num_bytes)
        self._handed_out: weakref.ref[NDArray[np.float32]] | None = None
        self.shape: Shape = (0, 0, 0)

    @property
    def is_free(self) -> bool:
        """Whether nobody refers to the array."""
        return self._handed_out is None or self._handed_out() is None

    def hand_out(self, shape: Shape) -> NDArray[np.float32]:
        """The memory as an array of that shape; what stands in it is of no meaning."""
        array = as_rows(self._mapped, shape)
        self._handed_out = weakref.ref(array)
        self.shape = shape
        return array

    def close(self) -> None:
        """Gives the descriptor back. The memory goes when nobody refers to the array any more."""
        os.close(self.file)


def as_rows(buffer: Any, shape: Shape) -> NDArray[np.float32]:
    """The beginning of a buffer as an array."""
    return np.ndarray(shape, np.float32, buffer)


def num_bytes_of(shape: Shape) -> int:
    """How much memory rows take."""
    return 4 * shape[0] * shape[1] * shape[2]


def anonymous_file(num_bytes: int) -> int:
    """Descriptor of memory that has no name, all zero."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("latentmill")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, num_bytes)
    return file
