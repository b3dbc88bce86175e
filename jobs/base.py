"""What every kind of job is made of: the two halves of the spec, and what a kind gives to the runner."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field

from jobs.limit_spec import LimitSpec
from pipeline.placement_spec import PlacementSpec
from pipeline.segment_spec import SegmentSpec
from pipeline.source_spec import SourceSpec
from workers.audio.decode_spec import ChannelPolicy, DecodeSpec, ResampleQuality
from workers.device_kind import DeviceKind, RequestedDevice
from workers.files import absolute, is_writable, scheme_of
from workers.mel_worker_spec import StoredDtype
from workers.spec import PathText, Spec

if TYPE_CHECKING:
    from pipeline.model_stage import Worker, WorkerSpec
    from pipeline.store import LatentStore

RUNNING_FIELDS = frozenset({"output", "placement", "limits"})
"""The half of a spec that does not decide content; everything else does."""


class AudioSpec(Spec):
    """How recordings become waveforms; their rate is that of the front end."""

    channels: ChannelPolicy = "mono"
    """`mono` averages, `stereo` gives two channels of any file, `keep` leaves them as they are."""

    resample_quality: ResampleQuality = "HQ"
    """soxr recipe, from best to fastest: VHQ, HQ, MQ, LQ, QQ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a kind of job puts into the pipeline."""

    decode: DecodeSpec
    worker: "WorkerSpec"
    load_worker: "Callable[[Any], Worker]"
    """Runs in each actor: settings → loaded worker."""
    alignment_samples: int
    """Padded units are multiples of this many samples: the model's grid."""
    min_samples: int
    """And at least this long: what one frame of the front end takes."""
    variable_length: bool
    """Whether tensors of different units may differ in shape."""
    facts: dict[str, str] = field(default_factory=dict)
    """What decides content beside the spec, such as the digest of the weights; part of the identity."""


class Job(Spec):
    """Fields that all kinds share. A kind is a subclass in a file `<kind>_job.py` of this folder."""

    kind: str
    """What to make."""

    source: SourceSpec
    """What to make it from."""

    output: PathText = Field(min_length=1)
    """The store: a folder, or the URI of one (s3://, gs://, az://), that is made or resumed."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Decides the order of units and all random numbers."""

    segment: SegmentSpec = SegmentSpec()
    """How files are cut into units."""

    audio: AudioSpec = AudioSpec()
    """How files are decoded."""

    microbatch: Annotated[int, Field(ge=2, le=4096)] = 8
    """Units that the model sees at once. Always padded to this many, so a unit's bytes never depend on its neighbours;
    another number may change the last bits, so it is part of the identity."""

    dtype: StoredDtype = "float16"
    """How tensors are stored."""

    device: RequestedDevice = "auto"
    """What the model computes on; `auto` is a GPU where there is one. Part of the identity: the last bits differ."""

    placement: PlacementSpec = PlacementSpec()
    """Where the job runs."""

    limits: LimitSpec = LimitSpec()
    """What one unit may cost, and what counts as too many failures."""

    @property
    def device_kind(self) -> DeviceKind:
        """The device of a resolved job.

        Raises:
            ValueError: it is not resolved.
        """
        if self.device == "auto":
            raise ValueError("device is still auto; call resolved() first")
        return self.device

    def resolved(self, num_gpus: float) -> tuple[Self, tuple[str, ...]]:
        """This job with all that it left to the machine decided, and a sentence for each decision.

        Args:
            num_gpus: of the machine or cluster that it will run on.

        Raises:
            ValueError: it asks for a GPU and there is none.
        """
        if self.device == "cuda" and num_gpus <= 0:
            raise ValueError("device: cuda is asked for, and torch finds no GPU here; set device: cpu, or look for it")
        device: DeviceKind = "cuda" if num_gpus > 0 and self.device != "cpu" else "cpu"
        path = self.source.path
        paths = absolute(path) if isinstance(path, str) else tuple(absolute(one) for one in path)
        source = self.source.model_copy(update={"path": paths})
        return self.model_copy(update={"device": device, "source": source, "output": output_path(self.output)}), ()

    @abstractmethod
    def work(self) -> Work:
        """What a resolved job computes; reads the model's configuration and hashes its weights.

        Raises:
            ValueError: the model cannot be found, or cannot take what the spec would give it.
        """

    def findings(self, store: "LatentStore") -> tuple[str, ...]:  # noqa: ARG002 (most kinds have none)
        """What a finished store shows, in lines for the summary of a run."""
        return ()

    def content(self) -> dict[str, Any]:
        """The half of the spec that decides content, as plain JSON values."""
        return self.model_dump(mode="json", exclude=set(RUNNING_FIELDS))


def output_path(path: str) -> str:
    """The output as an absolute path or a URI.

    Raises:
        ValueError: it is a URI that holds credentials, that nothing opens, or that can only be read.
    """
    place = absolute(path)
    if not is_writable(place):
        raise ValueError(
            f"output: {path}: {scheme_of(path)}:// can only be read; give a folder, or a URI of an object store such as"
            " s3://bucket/folder"
        )
    return place
