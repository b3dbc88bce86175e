"""Logits of whole sequences against audiocraft's, and a state that does not fit."""

import pytest
import torch

from tests.workers.models.audiogen.references import reference, reference_folder
from tests.workers.models.audiogen.tiny_lm import BIASED, SPEC, texts_of, tiny_lm
from workers.models.audiogen.audiocraft_checkpoint import read_audiocraft_checkpoint
from workers.models.audiogen.language_model import LanguageModel


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    checkpoint = read_audiocraft_checkpoint(reference_folder("ckpt_A"))
    state = {name: tensor.float() for name, tensor in checkpoint.lm_state.items()}
    return LanguageModel.from_state(checkpoint.shape.lm, state)


def test_equals_audiocrafts_logits(lm: LanguageModel) -> None:
    theirs = reference("A_logits.pt")
    ours = lm(theirs["tokens"], theirs["cond"], torch.ones(theirs["cond"].shape[:2], dtype=torch.bool))
    torch.testing.assert_close(ours, theirs["logits"], atol=1e-5, rtol=0)


def test_a_padded_text_has_the_logits_that_it_has_alone(lm: LanguageModel) -> None:
    theirs, text = reference("A_logits.pt"), reference("A_text.pt")
    mask = text["attention_mask"].bool()
    conditioning = lm.conditioning(text["t5_last_hidden"], mask)
    torch.testing.assert_close(conditioning, text["cond"], atol=1e-5, rtol=0)
    for rows, alone in zip((slice(0, 3), slice(3, 6)), theirs["text_logits_alone"], strict=True):
        torch.testing.assert_close(lm(theirs["tokens"], conditioning[rows], mask[rows]), alone, atol=1e-5, rtol=0)


def test_gradients_reach_every_parameter() -> None:
    model = tiny_lm(biased=BIASED).requires_grad_(True)
    texts = texts_of(SPEC, [3, 1])
    hidden = torch.randn(2, 3, SPEC.text_dim)
    sequence = torch.randint(0, SPEC.card + 1, (2, SPEC.num_codebooks, 300))
    model(sequence, model.conditioning(hidden, texts.mask), texts.mask).logsumexp(-1).square().mean().backward()
    without = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert not without


def test_a_state_that_does_not_fit_is_refused() -> None:
    state = dict(tiny_lm().state_dict())
    assert LanguageModel.from_state(SPEC, state).num_parameters == tiny_lm().num_parameters
    del state["layers.1.ffn_in.weight"]
    with pytest.raises(ValueError, match=r"weights do not fit its configuration.*layers\.1\.ffn_in\.weight"):
        LanguageModel.from_state(SPEC, state)
