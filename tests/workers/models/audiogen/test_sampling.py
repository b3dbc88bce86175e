"""Token frequencies against the distribution that is asked for, and where the uniform numbers come from."""

import numpy as np
import pytest
import torch
from scipy import stats

from tests.workers.models.audiogen.tiny_lm import sampling_of
from workers.models.audiogen.sampling import Sampler, unit_uniforms

CARD = 12
LOGITS = torch.randn(CARD, generator=torch.Generator().manual_seed(0)) * 2


def expected(*, top_k: int = 0, top_p: float = 0.0, temperature: float = 1.0) -> np.ndarray:
    """What stays of the softmax, plainly: the likeliest one by one, until there are enough."""
    scaled = LOGITS.double().numpy() / temperature
    probabilities = np.exp(scaled - scaled.max())
    probabilities /= probabilities.sum()
    kept, total = np.zeros(CARD), 0.0
    left = probabilities[np.argsort(-probabilities)[: top_k or CARD]].sum()
    for token in np.argsort(-probabilities)[: top_k or CARD]:
        if top_p and total > top_p * left:
            break
        kept[token] = probabilities[token]
        total += probabilities[token]
    return kept / kept.sum()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"top_k": 3},
        {"top_p": 0.9},
        {"top_k": 6, "top_p": 0.8, "temperature": 1.5},
    ],
)
def test_frequencies_match_the_softmax(settings: dict[str, float]) -> None:
    """Chi-square over 40,000 draws with fixed seeds, at one in a thousand; tokens that are cut off never come."""
    draws = 40_000
    uniforms = torch.from_numpy(unit_uniforms(7, draws, 1))[None].transpose(1, 2)  # [1 clip, 1 codebook, draws]
    sampler = Sampler(sampling_of(1, **settings), CARD)  # type: ignore[arg-type]
    tokens = torch.stack([sampler(LOGITS[None, None], uniforms[..., draw]) for draw in range(draws)]).flatten()
    counts = np.bincount(tokens.numpy(), minlength=CARD)
    wanted = expected(**settings)  # type: ignore[arg-type]
    assert not counts[wanted == 0].any()
    assert stats.chisquare(counts[wanted > 0], draws * wanted[wanted > 0]).pvalue > 1e-3


def test_rows_are_sampled_each_by_its_own_settings() -> None:
    """Whatever the others have, a row draws what it draws alone."""
    rows = [{"top_k": 1}, {}, {"top_k": 4, "temperature": 0.7}, {"top_p": 0.5}, {"top_k": CARD + 5}]
    logits = torch.randn(len(rows), 3, CARD, generator=torch.Generator().manual_seed(5))
    uniforms = torch.rand(len(rows), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    alone = [sampling_of(1, **row) for row in rows]  # type: ignore[arg-type]
    together = type(alone[0])(
        **{name: torch.cat([getattr(one, name) for one in alone]) for name in alone[0].__dataclass_fields__}
    )
    drawn = Sampler(together, CARD)(logits, uniforms)
    for row, settings in enumerate(alone):
        one = slice(row, row + 1)
        assert torch.equal(drawn[one], Sampler(settings, CARD)(logits[one], uniforms[one]))
    assert torch.equal(drawn[0], logits[0].argmax(-1))


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_give_tokens_that_may_come(uniform: float) -> None:
    sampler = Sampler(sampling_of(1, top_k=4), CARD)
    kept = (sampler.probabilities(LOGITS[None, None]) > 0).nonzero()[:, -1]
    token = sampler(LOGITS[None, None], torch.full((1, 1), uniform, dtype=torch.float64))
    assert token.item() == (kept[0] if uniform == 0 else kept[-1])


def test_uniforms_are_a_function_of_the_seed() -> None:
    first = unit_uniforms(2**64 - 1, 10, 4)
    assert np.array_equal(first, unit_uniforms(-1, 10, 4))  # the same bits, carried as int64
    assert np.array_equal(first, unit_uniforms(-1, 99, 4)[:10])
    assert not np.array_equal(first, unit_uniforms(5, 10, 4))
    many = unit_uniforms(0, 25_000, 4)
    assert stats.kstest(many.ravel(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(many.T) - np.eye(4)).max() < 0.02
