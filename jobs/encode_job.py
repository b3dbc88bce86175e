"""`kind: encode`: recordings → VAE latents, or the codes of a codec."""

from typing import TYPE_CHECKING, Literal, Self

from jobs.base import Work
from jobs.front_end import fit_front_end
from jobs.recordings import RecordingsJob
from workers.audio.mel_spec import MelSpec
from workers.codec_worker_spec import CodecWorkerSpec
from workers.encode_worker_spec import EncodeWorkerSpec
from workers.models.audio_vae_spec import AudioVaeSpec
from workers.models.codec_spec import CodecSpec
from workers.models.encoder_spec import EncoderSpec
from workers.models.precision import RequestedPrecision, resolve_precision
from workers.models.vae_spec import WaveformVaeSpec
from workers.models.weights import weights_digest

if TYPE_CHECKING:
    from pipeline.torch_worker import Worker


class EncodeJob(RecordingsJob):
    """Encodes recordings into latents that a diffusion trainer reads, or codes for a trainer of language models."""

    kind: Literal["encode"] = "encode"
    """VAE latents, or codes."""

    mel: MelSpec | None = MelSpec()
    """The front end; null where the model takes waveforms."""

    model: EncoderSpec = AudioVaeSpec()
    """A VAE of mels (`audio_vae`, `autoencoder_kl`) or of waveforms (`autoencoder_oobleck`), or a codec (`encodec`,
    `dac`, `mimi`)."""

    latent: Literal["moments", "mean", "sample"] = "moments"
    """What is kept of a VAE's posterior: mean and log-variance (the reader draws), the mean, or one seeded draw."""

    precision: RequestedPrecision = "auto"
    """What the model computes in; `auto` is bfloat16 on GPUs and on CPUs with AMX, float32 elsewhere. Codecs always
    compute in float32."""

    def resolved(self, num_gpus: float) -> tuple[Self, tuple[str, ...]]:
        """Decides the device, the precision and which files the weights are."""
        job, notes = super().resolved(num_gpus)
        if isinstance(self.model, CodecSpec):
            precision, reason = "float32", "float32, since a codec's codes are a matter of small differences"
            self._refuse_what_codes_have_not()
        else:
            precision, reason = resolve_precision(self.precision, job.device_kind)
        model, model_notes = self.model.resolved()
        if self.precision == "auto":
            notes += (f"precision {reason}",)
        changes = {"precision": precision, "model": model, **fit_front_end(self, model)}
        return job.model_copy(update=changes), notes + model_notes

    def _refuse_what_codes_have_not(self) -> None:
        """Settings that would have no effect are mistakes."""
        for name, meaningless in (
            ("latent", self.latent != "moments"),
            ("dtype", self.dtype != "float16"),
            ("precision", self.precision not in ("auto", "float32")),
        ):
            if meaningless:
                value = getattr(self, name)
                raise ValueError(f"{name} is {value}, but model.kind {self.model.kind} gives codes: leave {name} out")

    @property
    def sample_rate(self) -> int:
        """As `RecordingsJob` says."""
        if isinstance(self.model, WaveformVaeSpec | CodecSpec):
            return self.model.sample_rate
        return super().sample_rate

    def work(self) -> Work:
        """Front end and model in one worker."""
        if self.audio.channels == "keep":
            raise ValueError("audio.channels is keep, but models need one number of channels: set mono or stereo")
        if self.precision == "auto":
            raise ValueError("precision is still auto; call resolved() first")
        channels = 2 if self.audio.channels == "stereo" else 1
        worker: EncodeWorkerSpec | CodecWorkerSpec
        if isinstance(self.model, CodecSpec):
            worker = CodecWorkerSpec(
                model=self.model, microbatch=self.microbatch, device=self.device_kind, channels=channels
            )
        else:
            worker = EncodeWorkerSpec(
                mel=self.mel,
                model=self.model,
                latent=self.latent,
                precision=self.precision,
                microbatch=self.microbatch,
                device=self.device_kind,
                channels=channels,
                dtype=self.dtype,
            )
        return self.work_of(
            worker,
            _load_codec if isinstance(worker, CodecWorkerSpec) else _load,
            alignment_samples=worker.alignment_samples,
            min_samples=1 if self.mel is None else self.mel.min_samples,
            facts={"weights": weights_digest(self.model)},
        )


def _load(spec: EncodeWorkerSpec) -> "Worker":
    from workers.encode_worker import EncodeWorker

    return EncodeWorker(spec)


def _load_codec(spec: CodecWorkerSpec) -> "Worker":
    from workers.codec_worker import CodecWorker

    return CodecWorker(spec)
