"""`kind: encode`: recordings → VAE latents."""

from typing import TYPE_CHECKING, Literal, Self

from jobs.base import Work
from jobs.front_end import fit_front_end
from jobs.recordings import RecordingsJob
from workers.audio.mel_spec import MelSpec
from workers.encode_worker_spec import EncodeWorkerSpec
from workers.models.audio_vae_spec import AudioVaeSpec
from workers.models.precision import RequestedPrecision, resolve_precision
from workers.models.vae_spec import VaeSpec, WaveformVaeSpec
from workers.models.weights import weights_digest

if TYPE_CHECKING:
    from pipeline.torch_worker import Worker


class EncodeJob(RecordingsJob):
    """Encodes recordings into latents that a diffusion trainer reads."""

    kind: Literal["encode"] = "encode"
    """VAE latents."""

    mel: MelSpec | None = MelSpec()
    """The front end; null where the VAE takes waveforms."""

    model: VaeSpec = AudioVaeSpec()
    """The VAE: of mels (`audio_vae`, `autoencoder_kl`), or of waveforms (`autoencoder_oobleck`)."""

    latent: Literal["moments", "mean", "sample"] = "moments"
    """What is kept of the posterior: mean and log-variance (the reader draws), the mean, or one seeded draw."""

    precision: RequestedPrecision = "auto"
    """What the VAE computes in; `auto` is bfloat16 on GPUs and on CPUs with AMX, float32 elsewhere."""

    def resolved(self, num_gpus: float) -> tuple[Self, tuple[str, ...]]:
        """Decides the device, the precision and which files the weights are."""
        job, notes = super().resolved(num_gpus)
        precision, reason = resolve_precision(self.precision, job.device_kind)
        model, model_notes = self.model.resolved()
        if self.precision == "auto":
            notes += (f"precision {reason}",)
        changes = {"precision": precision, "model": model, **fit_front_end(self, model)}
        return job.model_copy(update=changes), notes + model_notes

    @property
    def sample_rate(self) -> int:
        """As `RecordingsJob` says."""
        return self.model.sample_rate if isinstance(self.model, WaveformVaeSpec) else super().sample_rate

    def work(self) -> Work:
        """Front end and VAE in one worker."""
        if self.audio.channels == "keep":
            raise ValueError("audio.channels is keep, but latents need one number of channels: set mono or stereo")
        if self.precision == "auto":
            raise ValueError("precision is still auto; call resolved() first")
        worker = EncodeWorkerSpec(
            mel=self.mel,
            model=self.model,
            latent=self.latent,
            precision=self.precision,
            microbatch=self.microbatch,
            device=self.device_kind,
            channels=2 if self.audio.channels == "stereo" else 1,
            dtype=self.dtype,
        )
        return self.work_of(
            worker,
            _load,
            alignment_samples=worker.alignment_samples,
            min_samples=1 if self.mel is None else self.mel.min_samples,
            facts={"weights": weights_digest(self.model)},
        )


def _load(spec: EncodeWorkerSpec) -> "Worker":
    from workers.encode_worker import EncodeWorker

    return EncodeWorker(spec)
