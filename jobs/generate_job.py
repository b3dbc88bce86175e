"""`kind: generate`: a table of prompts → sounds, and all that they were made by."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator

from jobs.base import Job, Work, decide_device, decided_device, output_path
from pipeline.prompts_spec import PromptsSpec
from pipeline.segment_spec import SegmentSpec
from workers.audio.decode_spec import DecodeSpec
from workers.device_kind import DeviceKind, RequestedDevice
from workers.files import absolute
from workers.gate_spec import GateSpec
from workers.generate_worker_spec import GenerateWorkerSpec
from workers.models.audiogen.audiogen_spec import AudioGenSpec
from workers.models.audiogen.sampling_spec import SamplingSpec
from workers.models.audiogen.spans import parse_spans
from workers.models.clap_spec import ClapSpec
from workers.models.precision import RequestedPrecision, resolve_precision
from workers.models.weights import weights_digest

if TYPE_CHECKING:
    from pipeline.inputs import Inputs
    from pipeline.torch_worker import Worker

MIN_SECONDS = 0.001
"""At least a sample at any rate: less would be a clip without sound."""
MAX_SECONDS = 600.0
BUCKET_SECONDS = 0.5
"""Clips whose lengths differ by less than this travel, and are made, together."""


class PromptSettings(SamplingSpec):
    """All that a row of the table can say of its clips."""

    negative_prompt: str = ""
    duration_seconds: float = Field(default=5.0, ge=MIN_SECONDS, le=MAX_SECONDS)
    variations: int = Field(default=1, ge=1, le=1 << 20)
    seed: int | None = Field(default=None, ge=0, lt=2**64)
    prompt_audio: str = ""
    mask: str = ""

    @field_validator("mask")
    @classmethod
    def _check_spans(cls, mask: str) -> str:
        parse_spans(mask)
        return mask


class GenerateJob(Job):
    """Makes sounds from texts, each the same whenever it is made again."""

    kind: Literal["generate"] = "generate"
    """Sounds from texts."""

    source: PromptsSpec
    """The prompts."""

    model: AudioGenSpec = AudioGenSpec()
    """What makes the sounds."""

    duration_seconds: float = Field(default=5.0, ge=MIN_SECONDS, le=MAX_SECONDS)
    """Length of a clip. One that is longer than the model's window is made in windows, each continuing the last."""

    variations: int = Field(default=1, ge=1, le=1 << 20)
    """Clips for each prompt."""

    negative_prompt: str = ""
    """What clips are pushed away from, instead of from what no text gives."""

    sampling: SamplingSpec = SamplingSpec()
    """How tokens are chosen."""

    gate: GateSpec = GateSpec()
    """Which sounds are good enough."""

    clap: ClapSpec | None = None
    """A CLAP model that hears how near each sound is to its text, into a column `clap`."""

    microbatch: Annotated[int, Field(ge=1, le=4096)] = 8
    """Clips that the model makes at once. Always filled up to this many, so a clip never depends on its neighbours;
    another number may change the last bits, and so a token: it is part of the identity."""

    device: RequestedDevice = "auto"
    """What the model computes on; `auto` is a GPU where there is one. Part of the identity: the last bits differ."""

    precision: RequestedPrecision = "auto"
    """What the language model computes in; `auto` is bfloat16 on GPUs and on CPUs with AMX, float32 elsewhere."""

    @property
    def device_kind(self) -> DeviceKind:
        """The device of a resolved job.

        Raises:
            ValueError: It is not resolved.
        """
        return decided_device(self.device)

    def resolved(self, num_gpus: float) -> tuple[Self, tuple[str, ...]]:
        """Decides the device, the precision and which files the weights are."""
        device = decide_device(self.device, num_gpus)
        precision, reason = resolve_precision(self.precision, device)
        model, notes = self.model.resolved()
        if self.precision == "auto":
            notes += (f"precision {reason}",)
        clap = self.clap
        if clap is not None:
            clap, more = clap.resolved()
            notes += more
        changes = {
            "clap": clap,
            "device": device,
            "precision": precision,
            "model": model,
            "source": self.source.model_copy(update={"path": absolute(self.source.path)}),
            "output": output_path(self.output),
        }
        return self.model_copy(update=changes), notes

    def inputs(self) -> "Inputs":
        """The prompts of the table."""
        from pipeline.prompts import Prompts

        defaults = PromptSettings(
            **self.sampling.model_dump(),
            negative_prompt=self.negative_prompt,
            duration_seconds=self.duration_seconds,
            variations=self.variations,
        )
        return Prompts(self.source, defaults)

    def work(self) -> Work:
        """Language model and codec in one worker."""
        from workers.models.audiogen.load_audiogen import audiogen_digest

        if self.precision == "auto":
            raise ValueError("precision is still auto; call resolved() first")
        self.model.check_text_encoder()
        worker = GenerateWorkerSpec(
            model=self.model,
            gate=self.gate,
            clap=self.clap,
            precision=self.precision,
            microbatch=self.microbatch,
            device=self.device_kind,
        )
        facts = {"weights": audiogen_digest(self.model)}
        if self.clap is not None:
            self.clap.check_tokenizer()
            facts["clap"] = weights_digest(self.clap)
        shape = self.model.shape()
        hop = shape.codec.hop_length
        return Work(
            segment=SegmentSpec(
                length_seconds=-(-round(MAX_SECONDS * shape.sample_rate) // hop) * hop / shape.sample_rate,
                tail="keep",
                bucket_seconds=BUCKET_SECONDS,
            ),
            decode=DecodeSpec(sample_rate=shape.sample_rate, channels="mono" if shape.channels == 1 else "stereo"),
            worker=worker,
            load_worker=_load,
            alignment_samples=hop,
            min_samples=hop,
            variable_length=True,
            facts=facts,
        )


def _load(spec: GenerateWorkerSpec) -> "Worker":
    from workers.generate_worker import GenerateWorker

    return GenerateWorker(spec)
