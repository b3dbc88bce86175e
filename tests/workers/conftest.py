from collections.abc import Iterator

import pytest


@pytest.fixture
def threads() -> Iterator[None]:
    """Lets a test set torch's number of threads."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
