"""The loss against a plain sum over places, and that it can be brought down."""

import pytest
import torch

from tests.workers.models.audiogen.tiny_lm import SPEC, texts_of, tiny_lm
from workers.models.audiogen.delays import to_sequence
from workers.models.audiogen.language_model import LanguageModel
from workers.models.audiogen.training import predicted_codes, teacher_forced_loss


def test_equals_a_plain_sum() -> None:
    model, texts = tiny_lm(), texts_of(SPEC, [4, 2])
    codes = torch.randint(0, SPEC.card, (2, SPEC.num_codebooks, 9))
    lengths = torch.tensor([9, 5])
    loss = teacher_forced_loss(model, codes, texts.values, texts.mask, lengths)
    log_probabilities = model(to_sequence(codes, SPEC.delays, SPEC.card), texts.values, texts.mask).log_softmax(-1)
    means = []
    for book, delay in enumerate(SPEC.delays):
        each = [
            -log_probabilities[clip, book, frame + delay, codes[clip, book, frame]]  # the step before holds its logits
            for clip in range(2)
            for frame in range(int(lengths[clip]))
        ]
        means.append(torch.stack(each).mean())
    torch.testing.assert_close(loss, torch.stack(means).mean(), atol=1e-5, rtol=0)


def test_codes_can_be_learnt() -> None:
    """Two clips by heart, in 60 steps of Adam."""
    spec = SPEC.model_copy(update={"dim": 48, "ffn_dim": 96})
    model, texts = LanguageModel.random(spec, seed=3), texts_of(spec, [4, 2])
    codes = torch.randint(0, spec.card, (2, spec.num_codebooks, 6), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = teacher_forced_loss(model, codes, texts.values, texts.mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 20
    assert torch.equal(predicted_codes(model, codes, texts.values, texts.mask), codes)


def test_what_is_no_batch_of_codes_is_refused() -> None:
    model, texts = tiny_lm(), texts_of(SPEC, [1])
    with pytest.raises(ValueError, match=r"expected codes \[B, 3, frames\], got shape \[1, 2, 5\]"):
        teacher_forced_loss(model, torch.zeros(1, 2, 5, dtype=torch.long), texts.values, texts.mask)
    with pytest.raises(ValueError, match="expected codes from 0 to 29, got 30 to 30"):
        teacher_forced_loss(model, torch.full((1, 3, 5), 30), texts.values, texts.mask)


def test_parameters_as_a_vector_and_in_files(tmp_path: object) -> None:
    model, other = LanguageModel.random(SPEC, seed=1), LanguageModel.random(SPEC, seed=2)
    vector = model.get_parameters()
    assert vector.shape == (model.num_parameters,)
    assert not torch.equal(vector, other.get_parameters())
    other.set_parameters(vector)
    assert torch.equal(other.heads.weight, model.heads.weight)
    model.save(f"{tmp_path}/lm")
    again = LanguageModel.load(f"{tmp_path}/lm")
    assert again.spec == SPEC
    assert torch.equal(again.get_parameters(), vector)
    with pytest.raises(ValueError, match=f"expected a vector of {model.num_parameters} parameters"):
        model.set_parameters(vector[1:])
    with pytest.raises(ValueError, match=r"no language model in .*/none: expected what save"):
        LanguageModel.load(f"{tmp_path}/none")
