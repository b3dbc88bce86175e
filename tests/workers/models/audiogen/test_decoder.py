"""Steps give what whole sequences give, and a clip's bits do not depend on its neighbours or its place."""

import pytest
import torch

from tests.workers.models.audiogen.tiny_lm import BIASED, SPEC, all_logits, texts_of, tiny_lm
from workers.models.audiogen.decoder import Texts
from workers.models.audiogen.lm_spec import LmSpec

LENGTHS = [5, 1, 0, 3]


def sequences(spec: LmSpec, num_clips: int, num_steps: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, spec.card + 1, (num_clips, spec.num_codebooks, num_steps), generator=generator)


@pytest.mark.parametrize("biased", [frozenset(), BIASED])
@pytest.mark.parametrize("prefilled", [1, 40])
@torch.inference_mode()
def test_steps_equal_the_whole_sequence(biased: frozenset[str], prefilled: int) -> None:
    """Over more steps than attention spans at first, with guidance, within 1e-4 of logits of about 10."""
    model, texts, sequence = tiny_lm(biased=biased), texts_of(SPEC, LENGTHS), sequences(SPEC, 4, 70)
    made = all_logits(model, texts, sequence, prefilled)
    text = model(sequence, texts.values, texts.mask)
    null = model(sequence, torch.zeros_like(texts.values), torch.zeros_like(texts.mask))
    expected = (null + 3.0 * (text - null))[:, :, prefilled - 1 :]
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)
    alone = all_logits(model, texts, sequence, prefilled, guided=False)
    torch.testing.assert_close(alone, text[:, :, prefilled - 1 :], atol=1e-4, rtol=0)


@torch.inference_mode()
def test_a_negative_prompt_takes_the_place_of_the_null_text() -> None:
    model, sequence = tiny_lm(), sequences(SPEC, 4, 9)
    texts, negative = texts_of(SPEC, LENGTHS), texts_of(SPEC, [2, 5, 4, 0], seed=4)
    both = Texts(values=texts.values, mask=texts.mask, negative_values=negative.values, negative_mask=negative.mask)
    made = all_logits(model, both, sequence, 2)
    text, away = (model(sequence, part.values, part.mask) for part in (texts, negative))
    torch.testing.assert_close(made, (away + 3.0 * (text - away))[:, :, 1:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("dim", [24, 384])
@torch.inference_mode()
def test_bits_do_not_depend_on_neighbours_and_place(dim: int) -> None:
    """Small products and those that oneDNN computes."""
    spec = SPEC.model_copy(update={"dim": dim, "ffn_dim": 4 * dim})
    model, texts, sequence = tiny_lm(spec), texts_of(spec, [*LENGTHS, 2]), sequences(spec, 5, 40)
    made = all_logits(model, texts, sequence, 3)
    for order in ([4, 2, 0, 1, 3], [2, 2, 2, 2, 2]):
        moved = Texts(values=texts.values[order], mask=texts.mask[order])
        assert torch.equal(all_logits(model, moved, sequence[order], 3), made[order])
