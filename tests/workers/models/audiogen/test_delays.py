"""Codes in delayed order, against audiocraft's own and by themselves."""

import pytest
import torch

from tests.workers.models.audiogen.references import reference
from workers.models.audiogen.delays import first_step, holds_code, num_steps, to_codes, to_sequence


def test_equals_audiocrafts_pattern() -> None:
    theirs = reference("A_pattern.pt")
    sequence = to_sequence(theirs["codes"], theirs["delays"], theirs["special_token"])
    assert torch.equal(sequence, theirs["sequence"])
    assert torch.equal(holds_code(12, theirs["delays"]), theirs["mask"])
    assert torch.equal(to_codes(sequence, theirs["delays"]), theirs["codes"])


@pytest.mark.parametrize("delays", [(0,), (0, 1, 2, 3), (0, 0, 1, 1), (3, 0, 5), (2, 2)])
def test_codes_come_back(delays: tuple[int, ...]) -> None:
    codes = torch.randint(0, 9, (2, len(delays), 7))
    sequence = to_sequence(codes, delays, 9)
    assert sequence.shape == (2, len(delays), num_steps(7, delays))
    assert torch.equal(sequence[0] != 9, holds_code(7, delays))
    assert torch.equal(to_codes(sequence, delays), codes)
    assert [int(holds_code(7, delays)[:, step].any()) for step in range(first_step(0, delays) + 1)][-1] == 1
    assert not holds_code(7, delays)[:, : first_step(0, delays)].any()
