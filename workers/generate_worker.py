"""Prompts to sounds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from math import inf, nan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workers.audio.loudness import integrated_loudness
from workers.device import resolve_device
from workers.gate import best_candidates, verdicts
from workers.generate_worker_spec import GenerateWorkerSpec
from workers.metrics.one_thread import one_thread
from workers.models.audiogen.audiogen import AudioGen, Clip, MadeClip, PromptError
from workers.models.audiogen.generate import UNKNOWN
from workers.models.audiogen.given_sound import kept_frames, rejoined
from workers.models.audiogen.spans import parse_spans
from workers.prompt_listener import PromptListener

SILENT_DBFS = -60.0
STRETCH_SECONDS = 0.02


class NonFiniteError(ArithmeticError):
    """A model's numbers overflowed, or were none."""


class GenerateWorker:
    """Holds an AudioGen on one device.

    A row's codes are the same in whatever batch, position and company it comes, on a given device; on a CPU its sound
    has the same bits.

    Args:
        spec: Model and gate.

    Raises:
        ValueError: The model cannot be loaded, or a GPU is asked for that is not there.
    """

    def __init__(self, spec: GenerateWorkerSpec) -> None:
        self.spec = spec
        self.model = AudioGen(
            spec.model, device=resolve_device(spec.device), precision=spec.precision, microbatch=spec.microbatch
        )
        shape = self.model.shape
        self._listener: PromptListener | None = None
        if spec.clap is not None:
            self._listener = PromptListener(
                spec.clap, sample_rate=shape.sample_rate, device=self.model.device, microbatch=spec.microbatch
            )
        self._grid = {"hop_length": shape.codec.hop_length, "sample_rate": shape.sample_rate}

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Make any number of clips.

        Args:
            batch: `prompt` and `negative_prompt` (texts), `num_samples` int64 [n], `bucket_samples` (one number, a
                multiple of the hop, none is longer), `seed` int64 [n], `temperature`, `top_k`, `top_p` and
                `guidance_scale` [n]. Perhaps `prompt_audio`, for each row the sound to go on from, float32 [C, N] at
                the model's rate, or None; and `mask`, which stretches of it are made anew, as `parse_spans` takes them.

        Returns:
            The columns of `spec.outputs`, and `microbatch` int32 [n], the clips computed at once. `errors`
            has an exception for each row that cannot be made, None for the others; its columns mean nothing.

        Raises:
            NoMemoryError: Not even one clip fits into the device's memory.
        """
        with one_thread():  # how sums are divided among threads decides their last bits; CPUs have an actor per core
            return self._make(batch)

    def _make(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        hop = self.model.shape.codec.hop_length
        clips = _clips(batch, [-(-samples // hop) for samples in batch["num_samples"].tolist()])
        errors: list[Exception | None] = [self.model.complaint(clip) for clip in clips]
        sounds = batch.get("prompt_audio") or [None] * len(clips)
        given = [None if sound is None else torch.as_tensor(sound) for sound in sounds]
        kept: dict[int, Tensor] = {}
        for row, sound in enumerate(given):
            if sound is not None and errors[row] is None:
                try:
                    clips[row], kept[row] = self._continued(clips[row], sound, batch["mask"][row])
                except PromptError as error:
                    errors[row] = error
        good = [row for row, error in enumerate(errors) if error is None]
        times = self.spec.gate.best_of or 1
        tried = [row for row in good for _ in range(times)]
        candidates = [_candidate(clips[row], place % times) for place, row in enumerate(tried)]
        made = self.model.generate(candidates) if good else []
        for place, (row, clip) in enumerate(zip(tried, made, strict=True)):
            if not clip.is_finite:
                errors[row] = NonFiniteError("the language model's numbers are not finite: its weights may be damaged")
            elif row in kept:
                sound = given[row]
                assert sound is not None
                made[place] = replace(clip, waveform=rejoined(clip.waveform, sound, kept[row], **self._grid))
        columns = self._columns(made, batch["num_samples"][tried], int(batch["bucket_samples"]))
        if made:
            columns |= self._judged(columns, batch["num_samples"][tried], [batch["prompt"][row] for row in tried])
        spread = {name: _spread(values, good, len(clips)) for name, values in columns.items()}
        spread["microbatch"] = spread["microbatch"].clamp(min=1)
        return {**spread, "errors": errors}

    def _judged(self, columns: dict[str, Tensor], num_samples: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """The columns of all candidates with a verdict, and of several of one clip those of the best."""
        if self._listener is not None:
            columns["clap"] = self._nearness(columns["audio"], num_samples, prompts)
        columns["verdict"] = verdicts(columns, self.spec.gate)
        if (times := self.spec.gate.best_of) is None:
            return columns
        best = best_candidates(columns, self.spec.gate)
        seconds, microbatch = (columns[name].view(-1, times) for name in ("seconds", "microbatch"))
        return {name: values[best] for name, values in columns.items()} | {
            "candidate": (best % times).double(),
            "seconds": seconds.sum(1),
            "microbatch": microbatch.amin(1),
        }

    def _continued(self, clip: Clip, sound: Tensor, mask: str) -> tuple[Clip, Tensor]:
        """A clip with the codes of a sound that it goes on from, and which of its frames those are.

        Raises:
            PromptError: The codec makes no codes of sounds, or nothing is left to be made.
        """
        if not self.model.supports_continuation:
            raise PromptError(
                "prompt_audio: this model's codec divides sounds by their level, and cannot go on from one"
            )
        kept = kept_frames(clip.num_frames, sound.shape[1], parse_spans(mask), **self._grid)
        if kept.all():
            raise PromptError("prompt_audio is as long as the clip is to be: ask for a longer clip, or set mask")
        codes = torch.nn.functional.pad(self.model.encode(sound[None])[0], (0, clip.num_frames))[:, : clip.num_frames]
        return replace(clip, known=codes.where(kept, UNKNOWN)), kept

    def _columns(self, made: Sequence[MadeClip], num_samples: Tensor, bucket_samples: int) -> dict[str, Tensor]:
        """Of the clips that could be made; sounds and codes are zero behind a clip's end."""
        if not made:
            return {"microbatch": torch.empty(0, dtype=torch.int32)}
        rate = self.model.shape.sample_rate
        waveform = _padded([clip.waveform for clip in made], bucket_samples)
        waveform = waveform * (torch.arange(waveform.shape[2]) < num_samples[:, None, None])
        peak = waveform.abs().amax(dim=(1, 2))
        sound = waveform / peak.clamp(min=1.0)[:, None, None]
        loudness = _row_by_row(partial(integrated_loudness, sample_rate=rate), sound.double(), num_samples)
        clipped = (waveform.abs() > 1).double().sum(dim=(1, 2)) / (num_samples * waveform.shape[1])
        silence = _row_by_row(partial(silence_fraction, sample_rate=rate), sound, num_samples)
        return {
            "audio": sound,
            "codes": _padded([clip.codes for clip in made], -(-bucket_samples // self.model.shape.codec.hop_length)),
            "peak": peak.double(),
            "loudness_lufs": loudness.where(loudness > -inf, nan),
            "clipped_fraction": clipped,
            "silence_fraction": silence,
            "seconds": torch.tensor([clip.seconds for clip in made], dtype=torch.float64),
            "microbatch": torch.tensor([clip.microbatch for clip in made], dtype=torch.int32),
        }

    def _nearness(self, sound: Tensor, num_samples: Tensor, prompts: Sequence[str]) -> Tensor:
        """How near clips are to their texts, float64 [n], NaN where there is no text; channels are averaged."""
        assert self._listener is not None
        clips = [one[:, :length].mean(0).numpy() for one, length in zip(sound, num_samples.tolist(), strict=True)]
        dimension = self._listener.dimension
        vectors = [
            (np.zeros(dimension, np.float32) if one.values is None else one.values, one.status)
            for one in self._listener.clips(clips).vectors
        ]
        scores = self._listener(vectors, prompts, [False] * len(prompts))
        return torch.tensor([value for value, _ in scores], dtype=torch.float64)


def _candidate(clip: Clip, number: int) -> Clip:
    """The same clip with other random numbers, from a seed that follows from its own; the first is the clip itself."""
    if number == 0:
        return clip
    digest = blake2b(f"{clip.seed % 2**64}:{number}".encode(), digest_size=8).digest()
    return replace(clip, seed=int.from_bytes(digest, "little"))


def silence_fraction(sound: Tensor, num_samples: Tensor, sample_rate: int) -> Tensor:
    """Share of a clip's 20-ms stretches whose RMS over all channels is below -60 dBFS.

    Args:
        sound: float32 [B, C, T], zero from `num_samples` on.
        num_samples: int64 [B]; a rest at the end counts as a stretch.
        sample_rate: Hz.

    Returns:
        float64 [B].
    """
    length = round(STRETCH_SECONDS * sample_rate)
    stretches = -(-num_samples // length)
    padded = torch.nn.functional.pad(sound.double(), (0, -sound.shape[2] % length))
    energy = padded.view(*padded.shape[:2], -1, length).square().sum(dim=(1, 3))  # [B, stretches]
    starts = torch.arange(energy.shape[1]) * length
    samples = (num_samples[:, None] - starts).clamp(0, length)
    quiet = energy < samples * sound.shape[1] * 10 ** (SILENT_DBFS / 10)
    share: Tensor = (quiet & (samples > 0)).sum(1).double() / stretches
    return share


def _padded(rows: Sequence[Tensor], length: int) -> Tensor:
    """Rows [..., at most length] as one tensor [n, ..., length], zero behind their ends."""
    return torch.stack([torch.nn.functional.pad(row, (0, length - row.shape[-1])) for row in rows])


def _clips(batch: Mapping[str, Any], num_frames: Sequence[int]) -> list[Clip]:
    numbers = zip(
        num_frames,
        batch["seed"].tolist(),
        batch["temperature"].tolist(),
        batch["top_k"].tolist(),
        batch["top_p"].tolist(),
        batch["guidance_scale"].tolist(),
        strict=True,
    )
    texts = zip(batch["prompt"], batch["negative_prompt"], strict=True)
    return [
        Clip(
            prompt=prompt,
            negative_prompt=negative_prompt or "",
            num_frames=frames,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            guidance_scale=guidance_scale,
        )
        for (prompt, negative_prompt), (frames, seed, temperature, top_k, top_p, guidance_scale) in zip(
            texts, numbers, strict=True
        )
    ]


def _row_by_row(measure: Callable[[Tensor, Tensor], Tensor], sound: Tensor, num_samples: Tensor) -> Tensor:
    """Sounds one by one: sums over several have other last bits than over one."""
    return torch.cat([measure(sound[row : row + 1], num_samples[row : row + 1]) for row in range(len(sound))])


def _spread(values: Tensor, rows: list[int], num_rows: int) -> Tensor:
    """Values of some rows at their places among all, zeros elsewhere."""
    spread = values.new_zeros((num_rows, *values.shape[1:]))
    spread[rows] = values
    return spread
