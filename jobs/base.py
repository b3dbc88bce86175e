"""What every kind of job is made of: the two halves of the spec, and what a kind gives to the runner."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from jobs.limit_spec import LimitSpec
from pipeline.placement_spec import PlacementSpec
from pipeline.segment_spec import SegmentSpec
from workers.audio.decode_spec import DecodeSpec
from workers.device_kind import DeviceKind, RequestedDevice
from workers.files import absolute, is_writable, scheme_of
from workers.spec import PathText, Spec

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.inputs import Inputs
    from pipeline.model_stage import WorkerSpec
    from pipeline.store import LatentStore
    from pipeline.torch_worker import Worker

RUNNING_FIELDS = frozenset({"output", "placement", "limits", "group_by", "compare_with", "allow_few"})
"""The half of a spec that does not decide content; everything else does. The last three decide how it is summed up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a kind of job puts into the pipeline."""

    segment: SegmentSpec
    """How an input is cut into units."""
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
    num_recordings: int = 1
    """Recordings that a unit is cut from, side by side."""
    min_tail_samples: int = 1
    """A shorter rest behind the last full unit of a recording is left out."""
    facts: dict[str, str] = field(default_factory=dict)
    """What decides content beside the spec, such as the digest of the weights; part of the identity."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a finished store shows, for the summary of a run."""

    lines: tuple[str, ...] = ()
    """For a person."""
    values: Any = None
    """The same for a program: plain values."""


class Job(Spec):
    """Fields that all kinds share. A kind is a subclass in a file `<kind>_job.py` of this folder."""

    kind: str
    """What to make."""

    output: PathText = Field(min_length=1)
    """The store: a folder, or the URI of one (s3://, gs://, az://), that is made or resumed."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Decides the order of units and all random numbers."""

    placement: PlacementSpec = PlacementSpec()
    """Where the job runs."""

    limits: LimitSpec = LimitSpec()
    """What one unit may cost, and what counts as too many failures."""

    @property
    @abstractmethod
    def device_kind(self) -> DeviceKind:
        """The device of a resolved job.

        Raises:
            ValueError: it is not resolved.
        """

    @abstractmethod
    def inputs(self) -> "Inputs":
        """What units are cut from."""

    @abstractmethod
    def resolved(self, num_gpus: float) -> tuple[Self, tuple[str, ...]]:
        """This job with all that it left to the machine decided, and a sentence for each decision.

        Args:
            num_gpus: of the machine or cluster that it will run on.

        Raises:
            ValueError: it asks for what is not there.
        """

    @abstractmethod
    def work(self) -> Work:
        """What a resolved job computes; reads the model's configuration and hashes its weights.

        Raises:
            ValueError: the model cannot be found, or cannot take what the spec would give it.
        """

    def check_columns(self, schema: "pa.Schema") -> None:
        """Looks whether the job can be summed up over the columns that its store will have.

        Raises:
            ValueError: it cannot.
        """

    def findings(self, store: "LatentStore") -> Findings:  # noqa: ARG002 (most kinds have none)
        """What a finished store shows."""
        return Findings()

    def content(self) -> dict[str, Any]:
        """The half of the spec that decides content, as plain JSON values."""
        return self.model_dump(mode="json", exclude=set(RUNNING_FIELDS))


def decided_device(device: RequestedDevice) -> DeviceKind:
    """The device of a resolved job.

    Raises:
        ValueError: it is not resolved.
    """
    if device == "auto":
        raise ValueError("device is still auto; call resolved() first")
    return device


def decide_device(requested: RequestedDevice, num_gpus: float) -> DeviceKind:
    """The device that a job will run on.

    Raises:
        ValueError: it asks for a GPU and there is none.
    """
    if requested == "cuda" and num_gpus <= 0:
        raise ValueError("device: cuda is asked for, and torch finds no GPU here; set device: cpu, or look for it")
    return "cuda" if num_gpus > 0 and requested != "cpu" else "cpu"


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
