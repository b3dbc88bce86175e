"""Prompts as the inputs of a job: nothing is decoded, and each variation of a prompt is a unit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.decode import WAVEFORM, decode_block
from pipeline.failure import BlockFailure, read_failures, with_failures
from pipeline.inputs import Looked
from pipeline.model_stage import Batch
from pipeline.plan import listed_samples
from pipeline.probe import PROBE_SCHEMA
from pipeline.prompts_spec import PromptsSpec
from pipeline.seeds import unit_seed
from pipeline.source import Listing
from pipeline.source.prompts import AUDIO_PATH, AUDIO_SECONDS, MASK, list_prompts
from workers.audio.decode_spec import DecodeSpec
from workers.guarded.limits import GuardLimits
from workers.spec import Spec


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of a table."""

    source: PromptsSpec
    defaults: Spec
    """What a row is made by where it does not say otherwise; see `list_prompts`."""

    @property
    def noun(self) -> str:
        """As `Inputs` says."""
        return "prompts"

    @property
    def columns(self) -> tuple[str, ...]:
        """As `Inputs` says."""
        return ("_path", "_member")

    @property
    def listed_lengths(self) -> bool:
        """Always: the table, or the job, says how long clips are to be."""
        return True

    @property
    def batch(self) -> Batch:
        """As `Inputs` says."""
        return prompt_batch

    @property
    def decodes(self) -> bool:
        """Never: prompts travel as they are, with the sounds that some go on from."""
        return False

    def fingerprint(self) -> dict[str, Any] | None:
        """Listing has to tell; it takes no longer."""
        return None

    def listing(self) -> Listing:
        """As `Inputs` says."""
        return list_prompts(self.source, self.defaults)

    def probe(
        self,
        items: pa.Table,
        known: pa.Table | None,  # noqa: ARG002
        on_progress: Callable[[int], None],  # noqa: ARG002
        limits: GuardLimits,  # noqa: ARG002
    ) -> Looked:
        """There is nothing to look at: all that decides a clip is in its row."""
        missing = {field.name: pa.nulls(items.num_rows, field.type) for field in PROBE_SCHEMA if field.name != "item"}
        return Looked(items=items, probes=pa.table({"item": items["_item"], **missing}).cast(PROBE_SCHEMA))

    def decoder(self, spec: DecodeSpec, limits: GuardLimits) -> Callable[[pa.Table], pa.Table]:
        """As `Inputs` says."""
        return partial(mark_prompts, spec=spec, limits=limits)


NOISE_SEED = "_noise_seed"
"""Column of a block: uint64, what a clip's random numbers are drawn from."""


GIVEN = "_prompt_audio"
"""Column of a block where some prompts go on from a sound: float32 [channels, samples] as its bytes, else null."""


def mark_prompts(units: pa.Table, spec: DecodeSpec, limits: GuardLimits) -> pa.Table:
    """A block of units with the seeds of their noise, the sounds that they go on from, and the failures of rows that
    cannot be used.

    The noise is the unit's own. Where the table gives a seed, it follows from that and the variation alone: the same
    prompt with the same seed is the same clip in whatever table it stands.
    """
    seeds = [
        seed if given is None else unit_seed(given, sample_id.rpartition("#")[2], "variation")
        for seed, given, sample_id in zip(
            units["seed"].to_pylist(), units["prompt_seed"].to_pylist(), units["sample_id"].to_pylist(), strict=True
        )
    ]
    failures = [
        None if error is None else BlockFailure(stage="probe", error_type="PromptError", reason=error)
        for error in units["_probe_error"].to_pylist()
    ]
    units = units.append_column(NOISE_SEED, pa.array(seeds, pa.uint64()))
    if AUDIO_PATH in units.column_names:
        units = units.append_column(GIVEN, _given_sounds(units, failures, spec, limits))
    return with_failures(units, failures)


def _given_sounds(
    units: pa.Table, failures: list[BlockFailure | None], spec: DecodeSpec, limits: GuardLimits
) -> pa.Array:
    """The column `GIVEN` of a block; what cannot be decoded is entered into `failures`."""
    paths = units[AUDIO_PATH].to_pylist()
    rows = [row for row, path in enumerate(paths) if path is not None and failures[row] is None]
    sounds: list[bytes | None] = [None] * units.num_rows
    if not rows:
        return pa.array(sounds, pa.large_binary())
    whole = listed_samples(units[AUDIO_SECONDS].take(pa.array(rows)).to_numpy(), spec.sample_rate)
    lengths = np.minimum(whole, units["_num_samples"].to_numpy()[rows])
    sources = units.take(pa.array(rows)).select(["_bucket_channels", "_bucket_samples", "_member", "_probe_error"])
    for name, values in (
        ("_path", [paths[row] for row in rows]),
        ("_start_sample", 0 * lengths),
        ("_num_samples", lengths),
    ):
        sources = sources.append_column(name, pa.array(values))
    decoded = decode_block(sources, spec, limits=limits)
    channels = units["_bucket_channels"][0].as_py()
    for row, length, failure, waveform in zip(
        rows, lengths.tolist(), read_failures(decoded), decoded[WAVEFORM], strict=True
    ):
        failures[row] = failure and replace(failure, reason=f"prompt_audio: {failure.reason}")
        samples = np.frombuffer(waveform.as_buffer(), np.float32).reshape(channels, -1)
        sounds[row] = None if failure else samples[:, :length].tobytes()
    return pa.array(sounds, pa.large_binary())


def prompt_batch(block: pa.Table, channels: int, samples: int) -> dict[str, Any]:
    """What `GenerateWorker` takes, of a block that `mark_prompts` made."""
    given = {}
    if GIVEN in block.column_names:
        sounds = (value.as_py() for value in block[GIVEN])
        given = {
            "prompt_audio": [
                None if one is None else np.frombuffer(one, np.float32).reshape(channels, -1) for one in sounds
            ],
            "mask": block[MASK].to_pylist(),
        }
    return {
        **given,
        **{name: block[name].to_numpy() for name in _NUMBERS},
        "prompt": block["prompt"].to_pylist(),
        "negative_prompt": block["negative_prompt"].to_pylist(),
        "num_samples": block["_num_samples"].to_numpy(),
        "bucket_samples": samples,
        "seed": block[NOISE_SEED].to_numpy().view(np.int64),
    }


_NUMBERS = ("temperature", "top_k", "top_p", "guidance_scale")
