"""What the kinds of job share that put recordings through a model."""

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field

from jobs.base import Job, Work, decide_device, decided_device, output_path
from pipeline.segment_spec import SegmentSpec
from pipeline.source_spec import SourceSpec
from workers.audio.decode_spec import ChannelPolicy, DecodeSpec, ResampleQuality
from workers.audio.mel_spec import MelSpec
from workers.device_kind import DeviceKind, RequestedDevice
from workers.files import absolute
from workers.mel_worker_spec import StoredDtype
from workers.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.inputs import Inputs
    from pipeline.model_stage import WorkerSpec
    from pipeline.torch_worker import Worker


class AudioSpec(Spec):
    """How recordings become waveforms; their rate is that of the front end."""

    channels: ChannelPolicy = "mono"
    """`mono` averages, `stereo` gives two channels of any file, `keep` leaves them as they are."""

    resample_quality: ResampleQuality = "HQ"
    """soxr recipe, from best to fastest: VHQ, HQ, MQ, LQ, QQ."""


class RecordingsJob(Job):
    """Fields of such a job."""

    source: SourceSpec
    """What to make it from."""

    segment: SegmentSpec = SegmentSpec()
    """How files are cut into units."""

    audio: AudioSpec = AudioSpec()
    """How files are decoded."""

    mel: MelSpec | None = MelSpec()
    """The front end."""

    microbatch: Annotated[int, Field(ge=2, le=4096)] = 8
    """Units that the model sees at once. Always padded to this many, so a unit's bytes never depend on its neighbours;
    another number may change the last bits, so it is part of the identity."""

    dtype: StoredDtype = "float16"
    """How tensors are stored."""

    device: RequestedDevice = "auto"
    """What the model computes on; `auto` is a GPU where there is one. Part of the identity: the last bits differ."""

    @property
    def sample_rate(self) -> int:
        """Of the waveforms that recordings are decoded to, in Hz.

        Raises:
            ValueError: the job is not resolved.
        """
        if self.mel is None:
            raise ValueError("mel is null, and nothing else says what rate to decode to")
        return self.mel.sample_rate

    @property
    def device_kind(self) -> DeviceKind:
        """The device of a resolved job.

        Raises:
            ValueError: it is not resolved.
        """
        return decided_device(self.device)

    def resolved(self, num_gpus: float) -> tuple[Self, tuple[str, ...]]:
        """This job with all that it left to the machine decided, and a sentence for each decision.

        Args:
            num_gpus: of the machine or cluster that it will run on.

        Raises:
            ValueError: it asks for a GPU and there is none.
        """
        device = decide_device(self.device, num_gpus)
        source = absolute_source(self.source)
        return self.model_copy(update={"device": device, "source": source, "output": output_path(self.output)}), ()

    def work_of(
        self,
        worker: "WorkerSpec",
        load_worker: "Callable[[Any], Worker]",
        *,
        alignment_samples: int,
        min_samples: int,
        facts: dict[str, str] | None = None,
    ) -> Work:
        """What a worker of waveforms is given, as `Work` says."""
        return Work(
            segment=self.segment,
            decode=DecodeSpec(sample_rate=self.sample_rate, **self.audio.model_dump()),
            worker=worker,
            load_worker=load_worker,
            alignment_samples=alignment_samples,
            min_samples=min_samples,
            variable_length=self.segment.tail == "keep" or self.audio.channels == "keep",
            facts=facts or {},
        )

    def inputs(self) -> "Inputs":
        """The recordings of the source."""
        from pipeline.inputs import Recordings

        return Recordings(self.source)


def absolute_source(source: SourceSpec) -> SourceSpec:
    """The source with paths that mean the same in every process."""
    path = source.path
    paths = absolute(path) if isinstance(path, str) else tuple(absolute(one) for one in path)
    return source.model_copy(update={"path": paths})
