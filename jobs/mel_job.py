"""`kind: mel`: recordings → log-mel spectrograms."""

from typing import TYPE_CHECKING, Literal

from jobs.base import Work
from jobs.recordings import RecordingsJob
from workers.audio.mel_spec import MelSpec
from workers.mel_worker_spec import MelWorkerSpec

if TYPE_CHECKING:
    from pipeline.torch_worker import Worker


class MelJob(RecordingsJob):
    """Computes the log-mel spectrograms that VAEs, vocoders and classifiers start from."""

    kind: Literal["mel"] = "mel"
    """Log-mel spectrograms."""

    mel: MelSpec = MelSpec()
    """The front end."""

    def work(self) -> Work:
        """The front end alone."""
        worker = MelWorkerSpec(mel=self.mel, microbatch=self.microbatch, device=self.device_kind, dtype=self.dtype)
        return self.work_of(worker, _load, alignment_samples=worker.alignment_samples, min_samples=self.mel.min_samples)


def _load(spec: MelWorkerSpec) -> "Worker":
    from workers.mel_worker import MelWorker

    return MelWorker(spec)
