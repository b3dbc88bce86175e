"""Rows that a model computes in pieces, each piece by one thread.

torch divides a layer's work among threads, and several of its kernels round differently with the division: SiLU (the
scalar code that finishes each thread's share uses another exponential than the vector code), GroupNorm (sums are
gathered per thread), pointwise convolutions (oneDNN may divide the sum over channels). Here threads divide the rows:

    microbatch  |a b c d e f g h|
    thread 1    |a b|     |e f|
    thread 2         |c d|     |g h|

Every piece has one size, lies in memory of its own, and is computed by one thread, whatever the number of threads is
and whoever the neighbours are. That also spares the threads from waiting for each other at every layer.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from workers.microbatch import microbatches


class Pieces:
    """Maps rows piece by piece, with as many threads as torch has where it is called.

    Args:
        size: Rows in a piece; the last is filled up with zero rows.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._threads: ThreadPoolExecutor | None = None
        self._num_threads = 1

    def map(self, compute: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Compute rows [n, ...] → [n, ...], n >= 1."""
        size = min(self._size, max(len(rows), 2))  # a row alone takes other kernels than one of two
        # Copies: libraries may choose their kernels by a piece's place in memory.
        pieces = [piece.clone() for piece in microbatches(rows, size)]
        num_threads = torch.get_num_threads()
        if num_threads == 1:
            results = [compute(piece) for piece in pieces]
        else:
            results = list(self._pool(num_threads).map(_alone(compute), pieces))
            torch.set_num_threads(num_threads)  # of threads that begin later: those of the pool have set it to 1
        return torch.cat(results)[: len(rows)]

    def _pool(self, num_threads: int) -> ThreadPoolExecutor:
        if self._threads is None or self._num_threads != num_threads:
            if self._threads is not None:
                self._threads.shutdown()
            self._threads, self._num_threads = ThreadPoolExecutor(num_threads), num_threads
        return self._threads


def _alone(compute: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same function for a thread of the pool, with or without autograd as in the calling thread."""
    inference = torch.is_inference_mode_enabled()

    def compute_alone(piece: Tensor) -> Tensor:
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        with torch.inference_mode(inference):
            return compute(piece)

    return compute_alone
