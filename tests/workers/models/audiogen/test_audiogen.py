"""The whole model: clips of several kinds at once, continuation, and tasks that can be awaited and cancelled."""

import asyncio
from concurrent.futures import CancelledError

import pytest
import torch

from tests.workers.models.audiogen.references import reference, reference_folder
from workers.models.audiogen.audiogen import AudioGen, Clip
from workers.models.audiogen.audiogen_spec import AudioGenSpec
from workers.models.audiogen.generate import UNKNOWN
from workers.models.audiogen.generation_task import GenerationTask

CLIPS = [
    Clip(prompt="a dog", num_frames=20, seed=1),
    Clip(prompt="rain", num_frames=20, seed=2, negative_prompt="music", top_k=5),
    Clip(prompt="a text that is longer than thirty-two bytes", num_frames=9, seed=3, guidance_scale=1.0),
    Clip(prompt="", num_frames=20, seed=-4, temperature=0.7, top_p=0.9),
    Clip(prompt="wind", num_frames=20, seed=5),
]


@pytest.fixture(scope="module")
def model() -> AudioGen:
    spec, _ = AudioGenSpec(weights="random").resolved()
    return AudioGen(spec, device=torch.device("cpu"), microbatch=3)


def test_a_clip_is_the_same_in_any_company(model: AudioGen) -> None:
    """To the bit of its sound, though the others differ in length, text, guidance and number."""
    made = model.generate(CLIPS)
    for order in ([4, 3, 2, 1, 0], [1], [0, 0, 4]):
        for place, again in zip(order, model.generate([CLIPS[place] for place in order]), strict=True):
            assert torch.equal(again.codes, made[place].codes)
            assert torch.equal(again.waveform, made[place].waveform)
    assert [clip.codes.shape[1] for clip in made] == [clip.num_frames for clip in CLIPS]
    assert all(clip.waveform.shape == (1, 320 * clip.codes.shape[1]) for clip in made)


@pytest.mark.parametrize("microbatch", [1, 3])
def test_greedy_clips_equal_audiocrafts(microbatch: int) -> None:
    """From texts to sound: the codes, whose last ones see that nothing follows, and the waveform within 1e-6."""
    theirs = reference("A_generate.pt")
    weights, text_encoder = (str(reference_folder(name)) for name in ("ckpt_A", "t5-small"))
    spec, _ = AudioGenSpec(weights=weights, text_encoder=text_encoder).resolved()  # type: ignore[arg-type]
    model = AudioGen(spec, device=torch.device("cpu"), microbatch=microbatch)
    made = model.generate([Clip(prompt=text, num_frames=40, seed=0, top_k=1) for text in theirs["prompts"]])
    assert torch.equal(torch.stack([clip.codes for clip in made]), theirs["greedy_alone"])
    torch.testing.assert_close(made[0].waveform, theirs["greedy_wav_row0"][0], atol=1e-6, rtol=0)


def test_sound_is_continued(model: AudioGen) -> None:
    """From its codes on, which stay; what comes then depends on them."""
    beginnings = [model.generate([clip])[0].waveform for clip in CLIPS[:2]]
    known = torch.full((2, 4, 30), UNKNOWN)
    known[..., :20] = model.encode(torch.stack(beginnings))
    clips = [Clip(prompt="wind", num_frames=30, seed=9, known=codes) for codes in known]
    first, second = model.generate(clips)
    assert torch.equal(first.codes[:, :20], known[0, :, :20])
    assert not torch.equal(first.codes[:, 20:], second.codes[:, 20:])
    alone = model.generate(clips[1:])[0]
    assert torch.equal(alone.codes, second.codes)


def test_steps_are_counted_before_they_are_taken(model: AudioGen) -> None:
    steps = []
    model.generate(CLIPS, on_step=lambda: steps.append(1))
    assert model.num_steps(CLIPS) == len(steps)


def test_a_task_can_be_awaited(model: AudioGen) -> None:
    async def both() -> list[torch.Tensor]:
        tasks = [GenerationTask(model, [clip]) for clip in CLIPS[:2]]
        return [(await task)[0].codes for task in tasks]

    made = model.generate(CLIPS[:2])
    for codes, expected in zip(asyncio.run(both()), made, strict=True):
        assert torch.equal(codes, expected.codes)


def test_a_task_can_be_cancelled(model: AudioGen) -> None:
    task = GenerationTask(model, [Clip(prompt="long", num_frames=20_000, seed=0)])
    assert not task.done
    with pytest.raises(TimeoutError):
        task.result(timeout_seconds=0.05)
    assert task.progress < 1
    task.cancel()
    with pytest.raises(CancelledError):
        task.result(timeout_seconds=60)
    assert task.done
    assert len(model.generate(CLIPS[:1])) == 1  # the model is free again


def test_a_prompt_that_is_too_long_is_refused_at_once(model: AudioGen) -> None:
    with pytest.raises(ValueError, match="a text has 301 tokens, and max_text_length is 256"):
        GenerationTask(model, [Clip(prompt="x" * 300, num_frames=5, seed=0)])
