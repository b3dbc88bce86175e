import pytest
import torch

from workers.microbatch import microbatches, padded_length


@pytest.mark.parametrize(("num_rows", "pieces"), [(1, 1), (4, 1), (5, 2), (9, 3)])
def test_pieces_have_one_size_and_zero_padding(num_rows: int, pieces: int) -> None:
    tensor = torch.arange(1, num_rows + 1).view(-1, 1).float()
    result = list(microbatches(tensor, 4))
    assert [piece.shape for piece in result] == [(4, 1)] * pieces
    joined = torch.cat(result)
    assert len(joined) == padded_length(num_rows, 4)
    assert torch.equal(joined[:num_rows], tensor)
    assert joined[num_rows:].eq(0).all()


def test_full_pieces_are_views() -> None:
    tensor = torch.zeros(8, 3)
    assert next(microbatches(tensor, 4)).data_ptr() == tensor.data_ptr()
