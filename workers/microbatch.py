"""Batches of one fixed size.

Libraries choose other kernels for other batch sizes, and other kernels round differently. A model that only ever sees
one size gives a row the same bits whatever its neighbours are and however many there are.

    batch   |a b c d e f g h i|          9 rows, microbatch 4
    model   |a b c d|  |e f g h|  |i 0 0 0|
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from workers.transfer import to_host


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


def in_microbatches(compute: Callable[..., Tensor], *inputs: Tensor, size: int) -> Tensor:
    """Compute rows in microbatches, and bring all results to the CPU in one transfer.

    On a GPU the host runs ahead: it prepares and sends a microbatch while the one before is computed, and waits once,
    at the end.

    Args:
        compute: One piece of each input [size, ...] → results [columns, size, ...], on the device that they are
            computed on.
        inputs: [n, ...] on the CPU, n >= 1.
        size: Rows per microbatch.

    Returns:
        [columns, n, ...] on the CPU, without the padding.
    """
    pieces = zip(*(microbatches(tensor, size) for tensor in inputs), strict=True)
    results = torch.cat([compute(*piece) for piece in pieces], dim=1)
    return to_host(results)[:, : len(inputs[0])]
