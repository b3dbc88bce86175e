"""AudioGen and MusicGen whole: texts in, sounds out.

Clips are computed in microbatches of one size, filled up with empty ones, and only clips of one kind together: about as
long as each other, with as long a beginning given, with texts of about one length, and all guided in one way. What a
clip's arithmetic looks like follows from the clip alone, so its tokens are the same in whatever company it comes.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from workers.device import repeatable_inference
from workers.microbatch import in_microbatches
from workers.models.audiogen.audiogen_spec import AudioGenSpec
from workers.models.audiogen.codec import Codec
from workers.models.audiogen.decoder import Texts
from workers.models.audiogen.generate import UNKNOWN, count_steps, generate_codes
from workers.models.audiogen.language_model import LanguageModel
from workers.models.audiogen.load_audiogen import load_text_encoder, load_weights
from workers.models.audiogen.packed_lm import PackedLm
from workers.models.audiogen.sampling import Sampling
from workers.models.precision import Precision

_LENGTH_STEP_SECONDS = 0.5
"""Clips are computed up to the next multiple of it, so that random lengths share microbatches; that costs a quarter of
a second per clip on average."""
_TEXT_STEP = 32
"""Texts of up to 32, 64, 128 … tokens are looked at together."""


class PromptError(ValueError):
    """No clip can be made of a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What a clip is to be."""

    prompt: str
    """What it sounds like; an empty one leaves it to the model."""
    num_frames: int
    seed: int
    """Of its random numbers, taken modulo 2⁶⁴."""
    negative_prompt: str = ""
    """What it is pushed away from."""
    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 0.0
    guidance_scale: float = 3.0
    known: Tensor | None = None
    """Codes that are given, int64 [K, num_frames] with UNKNOWN where one is to be made; all are to be made if none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeClip:
    """A clip as it came out."""

    codes: Tensor
    """int64 [K, num_frames]."""
    waveform: Tensor
    """float32 [C, num_frames · hop], as the codec gives it: it may go beyond ±1."""
    is_finite: bool
    """Whether the language model's numbers were; else the codes mean nothing."""
    microbatch: int
    """Clips that were computed at once: fewer than the model's where memory ran out."""
    seconds: float
    """Its share of the time that its microbatch took."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What clips that are computed together have in common."""

    num_frames: int
    """Of all of them; what is beyond a clip's own end holds no code."""
    first_unknown: int
    text_length: int
    guided: bool
    negative: bool


class AudioGen:
    """A model on one device.

    Args:
        spec: Which, resolved.
        device: Where it is computed.
        precision: What the language model computes in; texts and codec are float32.
        microbatch: Clips that are computed at once. Another number may change the last bits, and so a token.

    Raises:
        ValueError: The weights cannot be found or read, or do not fit each other.
    """

    def __init__(
        self, spec: AudioGenSpec, *, device: torch.device, precision: Precision = "float32", microbatch: int = 8
    ) -> None:
        checkpoint = load_weights(spec, dtype=getattr(torch, precision))
        self.shape = checkpoint.shape
        self.device, self.microbatch = device, microbatch
        dtype = getattr(torch, precision)
        state = {name: tensor.to(device, dtype) for name, tensor in checkpoint.lm_state.items()}
        self._lm = PackedLm(LanguageModel.from_state(self.shape.lm, state), rows=2 * microbatch)
        self._codec = Codec(self.shape, checkpoint.codec_state, rows_at_once=microbatch).to(device)
        self._text = load_text_encoder(spec).to(device)
        self._windows = {
            "window": self.frames(self.shape.segment_seconds),
            "stride": self.frames(self.shape.extend_stride_seconds),
        }
        self.turn = threading.Lock()
        """Held by whoever generates, where several threads may."""

    @property
    def is_ready(self) -> bool:
        """Whether clips can be made: always, since a model that cannot be loaded raises where it is constructed."""
        return True

    @property
    def supports_continuation(self) -> bool:
        """Whether sound can be turned into codes to go on from."""
        return not self.shape.codec.renormalize

    @property
    def supports_inpainting(self) -> bool:
        """Whether holes in a sound can be filled: as `supports_continuation`."""
        return self.supports_continuation

    @property
    def supports_negative_prompts(self) -> bool:
        """Whether clips can be pushed away from a text: always, by guidance."""
        return True

    @property
    def supports_stereo(self) -> bool:
        """Whether sounds have two channels."""
        return self.shape.channels == 2

    @property
    def metadata(self) -> dict[str, int | float | str]:
        """What a person asks of a model first, as plain values."""
        return {**self.shape.metadata, "device": str(self.device)}

    def frames(self, seconds: float) -> int:
        """Frames that hold so much sound, at least one."""
        return max(1, -(-round(seconds * self.shape.sample_rate) // self.shape.codec.hop_length))

    def num_steps(self, clips: Sequence[Clip]) -> int:
        """Steps of the language model that clips take, which is how often `generate` calls `on_step`.

        Fewer where clips are given in parts: from the first hole on, everything is counted.
        """
        steps = 0
        for kind, count in Counter(self._kind(clip) for clip in clips).items():
            each = count_steps(kind.num_frames, kind.first_unknown, self.shape.lm.delays, **self._windows)
            steps += -(-count // self.microbatch) * each
        return steps

    def complaint(self, clip: Clip) -> "PromptError | None":
        """Why a clip cannot be made; None if it can."""
        for what, text in (("prompt", clip.prompt), ("negative_prompt", clip.negative_prompt)):
            try:
                self._text.tokenize(text)
            except ValueError as error:
                return PromptError(f"{what}: {error}")
        return None

    def generate(self, clips: Sequence[Clip], *, on_step: Callable[[], None] | None = None) -> list[MadeClip]:
        """Make clips.

        Args:
            clips: In any mixture.
            on_step: Called before each step of the language model; what it raises ends the generation.

        Returns:
            One for each, in order.

        Raises:
            ValueError: A prompt has too many tokens.
            NoMemoryError: Not even one clip fits into the device's memory.
        """
        kinds: dict[_Kind, list[int]] = defaultdict(list)
        for place, clip in enumerate(clips):
            kinds[self._kind(clip)].append(place)
        made: dict[int, MadeClip] = {}
        with repeatable_inference():
            for kind, places in kinds.items():
                together = self._generate(kind, [clips[place] for place in places], on_step)
                made |= dict(zip(places, together, strict=True))
        return [made[place] for place in range(len(clips))]

    def encode(self, waveform: Tensor) -> Tensor:
        """Sound to codes, to be continued: float32 [B, C, T] to int64 [B, K, frames]."""
        with repeatable_inference():
            return self._codec.encode(waveform.to(self.device)).cpu()

    def _kind(self, clip: Clip) -> _Kind:
        longest = max(len(self._text.tokenize(text)) for text in (clip.prompt, clip.negative_prompt))
        bucket = _TEXT_STEP
        while bucket < longest:
            bucket *= 2
        step = self.frames(_LENGTH_STEP_SECONDS)
        frames, first = -(-clip.num_frames // step) * step, 0
        if clip.known is not None:
            unknown = (clip.known == UNKNOWN).any(0).nonzero()
            # What lies between is gone through step by step, so that random beginnings share microbatches.
            first = int(unknown[0]) // step * step if len(unknown) else frames
        guided = clip.guidance_scale != 1
        return _Kind(frames, first, bucket, guided, guided and bool(clip.negative_prompt))

    def _generate(self, kind: _Kind, clips: list[Clip], on_step: Callable[[], None] | None) -> list[MadeClip]:
        texts = self._encode_texts([clip.prompt for clip in clips], kind.text_length)
        negatives = self._encode_texts([clip.negative_prompt for clip in clips], kind.text_length)
        known = torch.full((len(clips), self.shape.lm.num_codebooks, kind.num_frames), UNKNOWN)
        for row, clip in enumerate(clips):
            known[row, :, clip.num_frames :] = self.shape.lm.card  # no code: as if the batch ended with the clip
            if clip.known is not None:
                known[row, :, : clip.num_frames] = clip.known
        numbers = torch.tensor([[c.temperature, c.top_k, c.top_p, c.guidance_scale] for c in clips]).double()
        seeds = torch.tensor([(clip.seed + 2**63) % 2**64 - 2**63 for clip in clips])  # the same bits as int64

        def compute(*rows: Tensor) -> Tensor:
            return self._codes(kind, *rows, on_step=on_step)[None]

        began = perf_counter()
        computed = in_microbatches(compute, *texts, *negatives, known, numbers, seeds, size=self.microbatch)
        finite = (computed.values[0] != UNKNOWN).all(2).all(1).tolist()
        ends = [clip.num_frames for clip in clips]
        codes = [row[:, :end].clamp(min=0) for row, end in zip(computed.values[0], ends, strict=True)]
        waveforms = self._decode(codes)
        seconds = (perf_counter() - began) / len(clips)
        rows = zip(codes, waveforms, finite, computed.sizes.tolist(), strict=True)
        return [
            MadeClip(codes=row, waveform=waveform, is_finite=is_finite, microbatch=size, seconds=seconds)
            for row, waveform, is_finite, size in rows
        ]

    def _codes(
        self,
        kind: _Kind,
        hidden: Tensor,
        mask: Tensor,
        negative_hidden: Tensor,
        negative_mask: Tensor,
        known: Tensor,
        numbers: Tensor,
        seeds: Tensor,
        *,
        on_step: Callable[[], None] | None,
    ) -> Tensor:
        """One microbatch. Rows that fill it up are all zero: null texts, and nothing to be made."""

        def conditioning(states: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
            states, places = states.to(self.device), places.to(self.device)
            return self._lm.conditioning(states, places), places

        values, places = conditioning(hidden, mask)
        away, away_places = conditioning(negative_hidden, negative_mask) if kind.negative else (None, None)
        temperature, top_k, top_p, guidance = numbers.unbind(1)
        return generate_codes(
            self._lm,
            Texts(values=values, mask=places, negative_values=away, negative_mask=away_places),
            known,
            guided=kind.guided,
            sampling=Sampling(
                temperature=temperature.where(temperature > 0, 1.0).float(),
                top_k=top_k.long(),
                top_p=top_p.float(),
                guidance=guidance.float(),
            ),
            seeds=seeds.tolist(),
            first_unknown=kind.first_unknown,
            **self._windows,
            on_step=on_step,
        )

    def _decode(self, codes: Sequence[Tensor]) -> list[Tensor]:
        """Sounds float32 [C, T] of codes [K, frames], those of one length together."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for row, one in enumerate(codes):
            by_length[one.shape[1]].append(row)
        sounds: dict[int, Tensor] = {}
        for rows in by_length.values():
            decoded = self._codec.decode(torch.stack([codes[row] for row in rows]).to(self.device)).cpu()
            sounds |= dict(zip(rows, decoded, strict=True))
        return [sounds[row] for row in range(len(codes))]

    def _encode_texts(self, texts: list[str], length: int) -> tuple[Tensor, Tensor]:
        """Hidden states float32 [n, length, text_dim] and mask bool [n, length], on the CPU; each text once."""
        distinct = list(dict.fromkeys(texts))
        encoded = self._text.encode(distinct)
        more = length - encoded.mask.shape[1]
        hidden = torch.nn.functional.pad(encoded.hidden.cpu(), (0, 0, 0, more))
        mask = torch.nn.functional.pad(encoded.mask.cpu(), (0, more))
        rows = [distinct.index(text) for text in texts]
        return hidden[rows], mask[rows]
