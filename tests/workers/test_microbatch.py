import pytest
import torch

from workers.microbatch import in_microbatches, microbatches


@pytest.mark.parametrize(("num_rows", "pieces"), [(1, 1), (4, 1), (5, 2), (9, 3)])
def test_pieces_have_one_size_and_zero_padding(num_rows: int, pieces: int) -> None:
    tensor = torch.arange(1, num_rows + 1).view(-1, 1).float()
    result = list(microbatches(tensor, 4))
    assert [piece.shape for piece in result] == [(4, 1)] * pieces
    joined = torch.cat(result)
    assert torch.equal(joined[:num_rows], tensor)
    assert joined[num_rows:].eq(0).all()


def test_full_pieces_are_views() -> None:
    tensor = torch.zeros(8, 3)
    assert next(microbatches(tensor, 4)).data_ptr() == tensor.data_ptr()


@pytest.mark.parametrize("num_rows", [1, 4, 9])
def test_results_are_those_of_the_rows(num_rows: int) -> None:
    sizes = []

    def sum_and_product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sizes.append((len(x), len(y)))
        return torch.stack([x + y, x * y])

    x, y = torch.randn(num_rows, 3, generator=torch.Generator().manual_seed(0)), torch.arange(num_rows).view(-1, 1)
    assert torch.equal(in_microbatches(sum_and_product, x, y, size=4), torch.stack([x + y, x * y]))
    assert set(sizes) == {(4, 4)}


@pytest.mark.gpu
def test_results_come_back_from_a_gpu() -> None:
    x = torch.arange(9.0)
    assert torch.equal(in_microbatches(lambda piece: 2 * piece.cuda()[None], x, size=4), 2 * x[None])
