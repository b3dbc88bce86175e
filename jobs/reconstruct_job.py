"""`kind: reconstruct`: recordings → mels, perhaps through a VAE → recordings again, by several methods."""

from typing import TYPE_CHECKING, Literal, Self

from jobs.base import Findings, Work
from jobs.recordings import RecordingsJob
from workers.audio.griffin_lim_spec import GriffinLimSpec
from workers.audio.mel_spec import MelSpec
from workers.models.diffusers_vae_spec import DiffusersVaeSpec
from workers.models.precision import RequestedPrecision, resolve_precision
from workers.models.transformers_vocoder_spec import TransformersVocoderSpec
from workers.models.vae_spec import VaeSpec
from workers.models.vocoder_spec import VocoderSpec
from workers.models.weights import weights_digest
from workers.reconstruct_worker_spec import NEED_VOCODER, Method, ReconstructWorkerSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.store import LatentStore
    from pipeline.torch_worker import Worker


_STUDIED = {"snr_db": ".2f", "correlation": ".2f", "seconds": ".4f"}
"""Columns of the table, and how they are written."""


class ReconstructJob(RecordingsJob):
    """Tells what a mel front end, a VAE and a vocoder leave of recordings, to be heard and measured."""

    kind: Literal["reconstruct"] = "reconstruct"
    """Recordings, reconstructed."""

    mel: MelSpec = MelSpec(preset="audioldm2")
    """The front end."""

    model: VaeSpec | None = DiffusersVaeSpec()
    """The VAE that each mel goes through; null leaves it out."""

    latent: Literal["mean", "sample"] = "mean"
    """What is decoded: the mean of the posterior, or one seeded draw."""

    methods: tuple[Method, ...] = ("griffin_lim", "vocoder")
    """How mels become sound again, each in columns of its own: mel inversion and Griffin-Lim, the vocoder, or
    Griffin-Lim from the vocoder's phases (`hybrid`)."""

    griffin_lim: GriffinLimSpec = GriffinLimSpec()
    """How Griffin-Lim finds phases."""

    vocoder: VocoderSpec = TransformersVocoderSpec()
    """The vocoder, which must have been trained on mels like `mel`; not loaded where no method needs it."""

    precision: RequestedPrecision = "auto"
    """What VAE and vocoder compute in; `auto` is bfloat16 on GPUs and on CPUs with AMX, float32 elsewhere."""

    @property
    def needs_vocoder(self) -> bool:
        """Whether a method does."""
        return bool(NEED_VOCODER & set(self.methods))

    def resolved(self, num_gpus: float) -> tuple[Self, tuple[str, ...]]:
        """Decides the device, the precision and which files the weights are."""
        job, notes = super().resolved(num_gpus)
        precision, reason = resolve_precision(self.precision, job.device_kind)
        changes: dict[str, object] = {"precision": precision}
        if self.precision == "auto" and (self.model is not None or self.needs_vocoder):
            notes += (f"precision {reason}",)
        if self.model is not None:
            changes["model"], more = self.model.resolved()
            notes += more
        if self.needs_vocoder:
            changes["vocoder"], more = self.vocoder.resolved()
            notes += more
        return job.model_copy(update=changes), notes

    def work(self) -> Work:
        """All models in one worker."""
        if self.audio.channels == "keep":
            raise ValueError("audio.channels is keep, but models need one number of channels: set mono or stereo")
        if self.precision == "auto":
            raise ValueError("precision is still auto; call resolved() first")
        facts = {} if self.model is None else {"weights": weights_digest(self.model)}
        if self.needs_vocoder:
            self.vocoder.check_mel(self.mel)
            facts["vocoder"] = weights_digest(self.vocoder)
        worker = ReconstructWorkerSpec(
            mel=self.mel,
            model=self.model,
            latent=self.latent,
            methods=self.methods,
            griffin_lim=self.griffin_lim,
            vocoder=self.vocoder if self.needs_vocoder else None,
            precision=self.precision,
            microbatch=self.microbatch,
            device=self.device_kind,
            channels=2 if self.audio.channels == "stereo" else 1,
        )
        return self.work_of(worker, _load, alignment_samples=worker.alignment_samples, facts=facts)

    def findings(self, store: "LatentStore") -> Findings:
        """The study's table: medians of all units, and how many each is over."""
        medians = {
            method: {what: _median(store.select([f"{method}_{what}"]).column(0)) for what in _STUDIED}
            for method in self.methods
        }
        lines = [f"{'method':<12} {'SNR dB':>9} {'correlation':>12} {'seconds':>9}   (medians of {len(store):,} units)"]
        for method, values in medians.items():
            shown = ["undefined" if values[what] is None else format(values[what], _STUDIED[what]) for what in _STUDIED]
            lines.append(f"{method:<12} {shown[0]:>9} {shown[1]:>12} {shown[2]:>9}")
        return Findings(tuple(lines), medians)


def _median(values: "pa.ChunkedArray") -> float | None:
    import pyarrow.compute as pc

    median: float | None = pc.quantile(pc.drop_null(values), 0.5)[0].as_py()
    return median


def _load(spec: ReconstructWorkerSpec) -> "Worker":
    from workers.reconstruct_worker import ReconstructWorker

    return ReconstructWorker(spec)
