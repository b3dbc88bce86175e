"""Prompts as the inputs of a job: nothing is decoded, and each variation of a prompt is a unit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.failure import BlockFailure, with_failures
from pipeline.inputs import Looked
from pipeline.model_stage import Batch
from pipeline.probe import PROBE_SCHEMA
from pipeline.prompts_spec import PromptsSpec
from pipeline.seeds import unit_seed
from pipeline.source import Listing
from pipeline.source.prompts import list_prompts
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
        """Never: prompts travel as they are."""
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

    def decoder(self, spec: DecodeSpec, limits: GuardLimits) -> Callable[[pa.Table], pa.Table]:  # noqa: ARG002
        """As `Inputs` says."""
        return mark_prompts


NOISE_SEED = "_noise_seed"
"""Column of a block: uint64, what a clip's random numbers are drawn from."""


def mark_prompts(units: pa.Table) -> pa.Table:
    """A block of units with the seeds of their noise, and the failures of rows that cannot be used.

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
    return with_failures(units.append_column(NOISE_SEED, pa.array(seeds, pa.uint64())), failures)


def prompt_batch(block: pa.Table, channels: int, samples: int) -> dict[str, Any]:  # noqa: ARG001 (the model knows)
    """What `GenerateWorker` takes, of a block that `mark_prompts` made."""
    return {
        **{name: block[name].to_numpy() for name in _NUMBERS},
        "prompt": block["prompt"].to_pylist(),
        "negative_prompt": block["negative_prompt"].to_pylist(),
        "num_samples": block["_num_samples"].to_numpy(),
        "bucket_samples": samples,
        "seed": block[NOISE_SEED].to_numpy().view(np.int64),
    }


_NUMBERS = ("temperature", "top_k", "top_p", "guidance_scale")
