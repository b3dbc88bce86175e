"""Batches of one fixed size, and what becomes of them where memory runs out.

Libraries choose other kernels for other batch sizes, and other kernels round differently. A model that only ever sees
one size gives a row the same bits whatever its neighbours are and however many there are.

    batch   |a b c d e f g h i|          9 rows, microbatch 4
    model   |a b c d|  |e f g h|  |i 0 0 0|

Where the device has no memory for that, what it holds is freed and the microbatches go again one at a time; one that
still does not fit goes in padded halves, and its rows say so:

    model   |a b c d| does not fit → |a b|  |c d|  |e f|  |g h|  |i 0|          computed 2 at once
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.transfer import to_host

_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "memory allocation failed",
    "bad_alloc",
    "status_alloc_failed",
)
"""In the messages of CUDA, of torch's CPU allocator, of oneDNN and MKL, of C++, and of cuBLAS and cuDNN."""


class NoMemoryError(RuntimeError):
    """Not even one row fits into the device's memory."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What a model gave for a batch."""

    values: Tensor
    """[columns, n, ...] on the CPU, without the padding."""
    sizes: Tensor
    """int32 [n]: rows that were computed at once with each row, its padding counted."""


def microbatches(tensor: Tensor, size: int) -> Iterator[Tensor]:
    """Split along the first axis into pieces of exactly `size` rows; the last is filled up with zero rows.

    Args:
        tensor: [n, ...]; full pieces are views of it.
        size: Rows per piece.

    Yields:
        [size, ...], ceil(n / size) times.
    """
    for piece in torch.split(tensor, size):
        if len(piece) == size:
            yield piece
        else:
            yield torch.cat([piece, piece.new_zeros((size - len(piece), *piece.shape[1:]))])


def in_microbatches(compute: Callable[..., Tensor], *inputs: Tensor, size: int) -> Computed:
    """Compute rows in microbatches, and bring all results to the CPU in one transfer.

    On a GPU the host runs ahead: it prepares and sends a microbatch while the one before is computed, and waits once,
    at the end. Where memory runs out, see the module.

    Args:
        compute: One piece of each input [size, ...] → results [columns, size, ...], on the device that they are
            computed on. Called with fewer rows where that many do not fit.
        inputs: [n, ...] on the CPU, n >= 1.
        size: Rows per microbatch.

    Raises:
        NoMemoryError: Not even one row fits.
    """
    num_rows = len(inputs[0])
    values = _unless_out_of_memory(lambda: _at_once(compute, inputs, size))
    if isinstance(values, Tensor):
        return Computed(values[:, :num_rows], torch.full((num_rows,), size, dtype=torch.int32))
    return _one_by_one(compute, inputs, size)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on whatever device and in whatever library."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def _at_once(compute: Callable[..., Tensor], inputs: Sequence[Tensor], size: int) -> Tensor:
    pieces = zip(*(microbatches(tensor, size) for tensor in inputs), strict=True)
    return to_host(torch.cat([compute(*piece) for piece in pieces], dim=1))


def _one_by_one(compute: Callable[..., Tensor], inputs: Sequence[Tensor], size: int) -> Computed:
    """Each microbatch by itself, its result brought to the CPU before the next one begins.

    A size that did not fit is not tried again for the rows after it.
    """
    num_rows, start, at_once = len(inputs[0]), 0, size
    values, sizes = [], torch.empty(num_rows, dtype=torch.int32)
    while start < num_rows:
        end = min(start + at_once, num_rows)
        pieces = [next(microbatches(tensor[start:end], at_once)) for tensor in inputs]
        result = _unless_out_of_memory(lambda pieces=pieces: to_host(compute(*pieces)))  # type: ignore[misc]
        if isinstance(result, Tensor):
            values.append(result[:, : end - start].clone())
            sizes[start:end] = at_once
            start = end
        elif at_once == 1:
            raise NoMemoryError(f"out of memory even with one row at a time ({size} is the job's microbatch): {result}")
        else:
            at_once = -(-at_once // 2)
    return Computed(torch.cat(values, dim=1), sizes)


def _unless_out_of_memory(compute: Callable[[], Tensor]) -> Tensor | str:
    """The result of `compute`, or what was said when memory ran out, with everything freed that can be."""
    try:
        return compute()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
    gc.collect()  # only here: the error held the frames of the computation, and they its tensors
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return said
