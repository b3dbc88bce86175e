import threading
import time

import pytest
import torch
from torch import Tensor

from workers.models.pieces import Pieces


@pytest.mark.parametrize("num_threads", [1, 2, 5])
@pytest.mark.usefixtures("threads")
def test_every_piece_has_one_size_and_one_thread(num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    seen = []

    def compute(piece: Tensor) -> Tensor:
        seen.append((len(piece), torch.get_num_threads(), piece.data_ptr() % 64))
        time.sleep(0.01 * float(piece[0, 0] == 0))  # the first piece ends last
        return piece * 10

    rows = torch.arange(21.0).view(7, 3)
    with torch.inference_mode():
        assert torch.equal(Pieces(2).map(compute, rows), rows * 10)
    assert seen == [(2, 1, 0)] * 4
    assert torch.get_num_threads() == num_threads
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [num_threads]


@pytest.mark.usefixtures("threads")
def test_pieces_are_computed_at_the_same_time() -> None:
    torch.set_num_threads(3)
    together = threading.Barrier(3, timeout=60)

    def compute(piece: Tensor) -> Tensor:
        together.wait()
        return piece

    assert Pieces(1).map(compute, torch.zeros(3, 1)).shape == (3, 1)


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.usefixtures("threads")
def test_autograd_is_as_in_the_calling_thread(inference: bool) -> None:
    torch.set_num_threads(2)
    modes = []

    def compute(piece: Tensor) -> Tensor:
        modes.append(torch.is_inference_mode_enabled())
        return piece

    with torch.inference_mode(inference):
        Pieces(1).map(compute, torch.zeros(2, 1))
    assert modes == [inference] * 2


def test_fewer_rows_than_a_piece_are_not_filled_up() -> None:
    sizes = []

    def compute(piece: Tensor) -> Tensor:
        sizes.append(len(piece))
        return piece

    Pieces(4).map(compute, torch.zeros(3, 2))
    assert sizes == [3]


@pytest.mark.usefixtures("threads")
def test_an_error_reaches_the_caller() -> None:
    torch.set_num_threads(2)

    def refuse(piece: Tensor) -> Tensor:
        raise ValueError(f"no such shape: {list(piece.shape)}")

    with pytest.raises(ValueError, match=r"no such shape: \[1, 2\]"):
        Pieces(1).map(refuse, torch.zeros(3, 2))
    assert torch.get_num_threads() == 2
