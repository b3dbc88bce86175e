"""Batches of one fixed size.

Libraries choose other kernels for other batch sizes, and other kernels round differently. A model that only ever sees
one size gives a row the same bits whatever its neighbours are and however many there are.

    batch   |a b c d e f g h i|          9 rows, microbatch 4
    model   |a b c d|  |e f g h|  |i 0 0 0|
"""

from collections.abc import Iterator

import torch
from torch import Tensor


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


def padded_length(num_rows: int, size: int) -> int:
    """Rows of all microbatches together."""
    return -(-num_rows // size) * size
