"""`kind: encode`: recordings → VAE latents."""

import os
from typing import TYPE_CHECKING, Literal, Self

from jobs.base import DeviceKind, Job, Work, absolute
from workers.audio.decode_spec import DecodeSpec
from workers.audio.mel_spec import MelSpec
from workers.encode_worker_spec import EncodeWorkerSpec
from workers.models.audio_vae_spec import AudioVaeSpec
from workers.models.precision import RequestedPrecision, resolve_precision
from workers.models.vae_spec import VaeSpec
from workers.models.weights import weights_digest

if TYPE_CHECKING:
    from pipeline.model_stage import Worker


class EncodeJob(Job):
    """Encodes recordings into latents that a diffusion trainer reads."""

    kind: Literal["encode"] = "encode"
    """VAE latents."""

    mel: MelSpec = MelSpec()
    """The front end."""

    model: VaeSpec = AudioVaeSpec()
    """The VAE."""

    latent: Literal["moments", "mean", "sample"] = "moments"
    """What is kept of the posterior: mean and log-variance (the reader draws), the mean, or one seeded draw."""

    precision: RequestedPrecision = "auto"
    """What the VAE computes in; `auto` is bfloat16 on GPUs and on CPUs with AMX, float32 elsewhere."""

    def resolved(self, device: DeviceKind) -> tuple[Self, tuple[str, ...]]:
        """Decides the precision."""
        precision, reason = resolve_precision(self.precision, device)
        weights = absolute(self.model.weights) if os.path.exists(os.path.expanduser(self.model.weights)) else None
        model = self.model if weights is None else self.model.model_copy(update={"weights": weights})
        notes = [f"precision {reason}"] if self.precision == "auto" else []
        if isinstance(model, AudioVaeSpec) and model.weights == "embedded" and not model.is_trained:
            notes.append("weights are untrained: this version embeds none, so `embedded` is a seeded initialisation")
        return self.model_copy(update={"precision": precision, "model": model}), tuple(notes)

    def work(self, device: DeviceKind) -> Work:
        """Mel and VAE in one worker."""
        if self.audio.channels == "keep":
            raise ValueError("audio.channels is keep, but a VAE's latents need one number of channels: mono or stereo")
        if self.precision == "auto":
            raise ValueError("precision is still auto; call resolved() first")
        worker = EncodeWorkerSpec(
            mel=self.mel,
            model=self.model,
            latent=self.latent,
            precision=self.precision,
            microbatch=self.microbatch,
            device=device,
            channels=2 if self.audio.channels == "stereo" else 1,
            dtype=self.dtype,
        )
        return Work(
            decode=DecodeSpec(sample_rate=self.mel.sample_rate, **self.audio.model_dump()),
            worker=worker,
            load_worker=_load,
            alignment_samples=worker.alignment_samples,
            min_samples=self.mel.min_samples,
            microbatch=self.microbatch,
            variable_length=self.segment.tail == "keep",
            facts={"weights": weights_digest(self.model)},
        )


def _load(spec: EncodeWorkerSpec) -> "Worker":
    from workers.encode_worker import EncodeWorker

    return EncodeWorker(spec)
