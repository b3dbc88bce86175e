"""Codes against audiocraft's greedy ones, what is given is kept, and the company that a clip is in changes nothing."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from tests.workers.models.audiogen.references import reference, reference_folder
from tests.workers.models.audiogen.tiny_lm import SPEC, sampling_of, texts_of, tiny_lm
from workers.models.audiogen.audiocraft_checkpoint import read_audiocraft_checkpoint
from workers.models.audiogen.decoder import Texts
from workers.models.audiogen.generate import UNKNOWN, generate_codes, windows
from workers.models.audiogen.language_model import LanguageModel
from workers.models.audiogen.packed_lm import PackedLm

WINDOW = {"window": 20, "stride": 5}


def unknown(num_clips: int, num_frames: int, num_codebooks: int = SPEC.num_codebooks) -> Tensor:
    return torch.full((num_clips, num_codebooks, num_frames), UNKNOWN)


@pytest.fixture(scope="module")
def reference_lm() -> tuple[LanguageModel, Texts]:
    checkpoint = read_audiocraft_checkpoint(reference_folder("ckpt_A"))
    state = {name: tensor.float() for name, tensor in checkpoint.lm_state.items()}
    lm, text = LanguageModel.from_state(checkpoint.shape.lm, state), reference("A_text.pt")
    mask = text["attention_mask"][:3].bool()
    return lm, Texts(values=lm.conditioning(text["t5_last_hidden"][:3], mask), mask=mask)


@torch.inference_mode()
def test_greedy_codes_equal_audiocrafts(reference_lm: tuple[LanguageModel, Texts]) -> None:
    """Of three texts of different lengths at once: each as audiocraft makes it alone."""
    lm, texts = reference_lm
    made = generate_codes(
        PackedLm(lm, rows=6),
        texts,
        unknown(3, 40, 4),
        guided=True,
        sampling=sampling_of(3, top_k=1),
        seeds=[0, 0, 0],
        window=150,
        stride=25,
    )
    assert torch.equal(made, reference("A_generate.pt")["greedy_alone"])


@pytest.mark.parametrize(
    ("key", "frames", "prompt", "first_unknown"),
    [("greedy_continuation", 40, 9, 0), ("greedy_continuation", 40, 9, 9), ("extended_tokens", 212, 0, 0)],
)
@torch.inference_mode()
def test_continuation_and_extension_equal_audiocrafts(
    reference_lm: tuple[LanguageModel, Texts], key: str, frames: int, prompt: int, first_unknown: int
) -> None:
    lm, texts = reference_lm
    theirs = reference("A_generate.pt")
    known = unknown(1, frames, 4)
    known[..., :prompt] = theirs["continuation_prompt"][..., :prompt]
    made = generate_codes(
        PackedLm(lm, rows=2),
        Texts(values=texts.values[:1], mask=texts.mask[:1]),
        known,
        guided=True,
        sampling=sampling_of(1, top_k=1),
        seeds=[0],
        window=150,
        stride=25,
        first_unknown=first_unknown,
    )
    assert torch.equal(made, theirs[key])


@torch.inference_mode()
def test_what_is_given_is_kept_and_the_rest_is_made() -> None:
    """A beginning, a hole and frames behind it, over several windows."""
    packed = PackedLm(tiny_lm(), rows=4)
    known = torch.randint(0, SPEC.card, (2, SPEC.num_codebooks, 47))
    known[..., 6:11] = UNKNOWN
    known[1, :, 30:] = UNKNOWN
    made = generate_codes(
        packed, texts_of(SPEC, [4, 2]), known, guided=True, sampling=sampling_of(2, top_k=9), seeds=[1, 2], **WINDOW
    )
    assert torch.equal(made[known != UNKNOWN], known[known != UNKNOWN])
    assert made.min() >= 0
    assert made.max() < SPEC.card


@torch.inference_mode()
def test_holes_of_one_clip_change_nothing_in_another() -> None:
    """However far on they are, in whatever window."""
    packed, texts = PackedLm(tiny_lm(), rows=4), texts_of(SPEC, [4, 2])
    known = torch.randint(0, SPEC.card, (2, SPEC.num_codebooks, 47), generator=torch.Generator().manual_seed(5))
    known[:, :, 8:12] = UNKNOWN
    known[0, :, 33:] = UNKNOWN
    known[1, :, 41:43] = UNKNOWN
    sampling = sampling_of(2, top_k=9)
    settings = {"guided": True, "sampling": sampling, "first_unknown": 5, **WINDOW}
    together = generate_codes(packed, texts, known, seeds=[1, 2], **settings)
    other = torch.stack([torch.zeros_like(known[0]), known[1]])
    alone = generate_codes(packed, texts, other, seeds=[7, 2], **settings)
    assert torch.equal(together[1], alone[1])


@torch.inference_mode()
def test_sampled_codes_do_not_depend_on_neighbours_place_and_length() -> None:
    packed, texts = PackedLm(tiny_lm(), rows=6), texts_of(SPEC, [4, 2, 7])

    def codes(order: list[int], num_frames: int) -> Tensor:
        moved = Texts(values=texts.values[order], mask=texts.mask[order])
        sampling = sampling_of(3, top_k=9, temperature=1.3)
        known = unknown(3, num_frames)
        return generate_codes(
            packed, moved, known, guided=True, sampling=sampling, seeds=[9 + one for one in order], **WINDOW
        )

    made = codes([0, 1, 2], 33)
    assert len({tuple(row.flatten().tolist()) for row in made}) == 3
    assert torch.equal(codes([2, 1, 0], 33), made[[2, 1, 0]])
    assert torch.equal(codes([1, 1, 1], 33), made[[1, 1, 1]])
    assert torch.equal(codes([0, 1, 2], 20), made[..., :20])


@torch.inference_mode()
def test_a_clip_whose_numbers_are_not_finite_has_no_codes() -> None:
    """Its neighbours have theirs; and one whose weights are broken has none at all."""
    model, texts = tiny_lm(), texts_of(SPEC, [4, 2])
    packed = PackedLm(model, rows=4)
    whole = generate_codes(packed, texts, unknown(2, 9), guided=True, sampling=sampling_of(2), seeds=[1, 2], **WINDOW)
    texts.values[1, 0, 0] = float("nan")
    made = generate_codes(packed, texts, unknown(2, 9), guided=True, sampling=sampling_of(2), seeds=[1, 2], **WINDOW)
    assert torch.equal(made[0], whole[0])
    assert (made[1] == UNKNOWN).all()


def test_generation_can_be_ended_between_steps() -> None:
    steps = []

    def stop() -> None:
        steps.append(1)
        if len(steps) == 4:
            raise InterruptedError("enough")

    with torch.inference_mode(), pytest.raises(InterruptedError, match="enough"):
        generate_codes(
            PackedLm(tiny_lm(), rows=1),
            texts_of(SPEC, [1]),
            unknown(1, 10),
            guided=True,
            sampling=sampling_of(1),
            seeds=[0],
            on_step=stop,
            **WINDOW,
        )
    assert len(steps) == 4


@pytest.mark.parametrize("frames", [1, 19, 20, 21, 25, 26, 47])
def test_windows_cover_all_frames(frames: int) -> None:
    seen = list(windows(frames, **WINDOW))
    assert seen[0].start == 0
    assert seen[-1].stop == frames
    assert all(len(one) <= WINDOW["window"] for one in seen)
    assert all(after.start - before.start == WINDOW["stride"] for before, after in pairwise(seen))
    assert all(before.stop > after.start for before, after in pairwise(seen))
    assert all(len(one) == WINDOW["window"] for one in seen[:-1])
