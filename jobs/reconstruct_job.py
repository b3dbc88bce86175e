"""`kind: reconstruct`: recordings, mels or latents → recordings again, by several methods."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Self

from jobs.base import Findings, Work
from jobs.front_end import fit_front_end
from jobs.recordings import RecordingsJob
from jobs.stored_origin import StoredOrigin, find_origin
from workers.audio.griffin_lim_spec import GriffinLimSpec
from workers.audio.mel_spec import MelSpec
from workers.models.diffusers_vae_spec import DiffusersVaeSpec
from workers.models.precision import RequestedPrecision, resolve_precision
from workers.models.transformers_vocoder_spec import TransformersVocoderSpec
from workers.models.vae_spec import VaeSpec, WaveformVaeSpec
from workers.models.vocoder_spec import VocoderSpec
from workers.models.weights import weights_digest
from workers.reconstruct_worker_spec import NEED_VOCODER, Method, ReconstructWorkerSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.inputs import Inputs
    from pipeline.store import LatentStore
    from pipeline.torch_worker import Worker


_STUDIED = {"snr_db": ".2f", "correlation": ".2f", "seconds": ".4f"}
"""Columns of the table, and how they are written."""


class ReconstructJob(RecordingsJob):
    """Tells what a mel front end, a VAE and a vocoder leave of recordings, to be heard and measured."""

    kind: Literal["reconstruct"] = "reconstruct"
    """Recordings, reconstructed."""

    mel: MelSpec | None = MelSpec(preset="audioldm2")
    """The front end; null where the VAE takes waveforms. Of a store of mels or latents, its own."""

    model: VaeSpec | None = DiffusersVaeSpec()
    """The VAE that each mel, or waveform, goes through; null leaves it out. Of a store of latents, its own; of a store
    of mels none, unless one is set."""

    latent: Literal["mean", "sample"] = "mean"
    """What is decoded: the mean of the posterior, or one seeded draw."""

    methods: tuple[Method, ...] = ("griffin_lim", "vocoder")
    """How sound is made again, each in columns of its own: of mels by mel inversion and Griffin-Lim, the vocoder, or
    Griffin-Lim from the vocoder's phases (`hybrid`); of a waveform VAE's latents by its decoder (`decode`), which is
    the default there."""

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
        origin = find_origin(job.source)
        if origin is not None:
            job = job.model_copy(update=origin.fitted(self))
            notes += (f"source is a store of {origin.holds}: segment, audio, mel and model are those of its job",)
        precision, reason = resolve_precision(self.precision, job.device_kind)
        changes: dict[str, object] = {"precision": precision}
        if job.model is not None:
            changes["model"], more = job.model.resolved()
            notes += more
        if origin is None:
            changes |= fit_front_end(self, job.model)
        if isinstance(job.model, WaveformVaeSpec) and "methods" not in self.model_fields_set:
            changes["methods"] = ("decode",)
        job = job.model_copy(update=changes)
        if self.precision == "auto" and (job.model is not None or job.needs_vocoder):
            notes += (f"precision {reason}",)
        if job.needs_vocoder:
            vocoder, more = job.vocoder.resolved()
            job, notes = job.model_copy(update={"vocoder": vocoder}), notes + more
        return job, notes

    @property
    def sample_rate(self) -> int:
        """As `RecordingsJob` says."""
        return self.model.sample_rate if isinstance(self.model, WaveformVaeSpec) else super().sample_rate

    def inputs(self) -> "Inputs":
        """The recordings of the source, or the tensors of the store that it is."""
        from pipeline.stored_tensors import StoredTensors

        origin = find_origin(self.source)
        if origin is None:
            return super().inputs()
        return StoredTensors(self.source, self._worker_spec(origin).stored_columns, origin.dtype, self.sample_rate)

    def work(self) -> Work:
        """All models in one worker."""
        if self.audio.channels == "keep":
            raise ValueError("audio.channels is keep, but models need one number of channels: set mono or stereo")
        if self.precision == "auto":
            raise ValueError("precision is still auto; call resolved() first")
        facts = {} if self.model is None else {"weights": weights_digest(self.model)}
        if self.needs_vocoder:
            if self.mel is None:
                raise ValueError("methods has one of a vocoder, but mel is null: leave the method out")
            self.vocoder.check_mel(self.mel)
            facts["vocoder"] = weights_digest(self.vocoder)
        origin = find_origin(self.source)
        if origin is not None:
            origin.check_weights(self.model, facts.get("weights"))
            facts["stored"] = "mels" if origin.stored == "mel" else "latents"
        worker = self._worker_spec(origin)
        return self.work_of(
            worker,
            _load if origin is None else _load_stored,
            alignment_samples=worker.alignment_samples,
            min_samples=worker.min_samples,
            facts=facts,
        )

    def _worker_spec(self, origin: StoredOrigin | None) -> ReconstructWorkerSpec:
        return ReconstructWorkerSpec(
            stored=None if origin is None else origin.stored,
            mel=self.mel,
            model=self.model,
            latent=self.latent,
            methods=self.methods,
            griffin_lim=self.griffin_lim,
            vocoder=self.vocoder if self.needs_vocoder else None,
            precision="float32" if self.precision == "auto" else self.precision,
            microbatch=self.microbatch,
            device=self.device_kind,
            channels=2 if self.audio.channels == "stereo" else 1,
        )

    def findings(self, store: "LatentStore") -> Findings:
        """The study's table: medians of all units, and how many each is over."""
        medians = {
            method: {
                what: _median(store.select([f"{method}_{what}"]).column(0))
                for what in _STUDIED
                if f"{method}_{what}" in store.columns
            }
            for method in self.methods
        }
        lines = [f"{'method':<12} {'SNR dB':>9} {'correlation':>12} {'seconds':>9}   (medians of {len(store):,} units)"]
        for method, values in medians.items():
            shown = [_shown(values, what) for what in _STUDIED]
            lines.append(f"{method:<12} {shown[0]:>9} {shown[1]:>12} {shown[2]:>9}")
        return Findings(tuple(lines), medians)


def _shown(values: Mapping[str, float | None], what: str) -> str:
    """A median as it is printed; a store of mels or latents has no originals to compare with."""
    if what not in values:
        return "-"
    value = values[what]
    return "undefined" if value is None else format(value, _STUDIED[what])


def _median(values: "pa.ChunkedArray") -> float | None:
    import pyarrow.compute as pc

    median: float | None = pc.quantile(pc.drop_null(values), 0.5)[0].as_py()
    return median


def _load(spec: ReconstructWorkerSpec) -> "Worker":
    from workers.reconstruct_worker import ReconstructWorker

    return ReconstructWorker(spec)


def _load_stored(spec: ReconstructWorkerSpec) -> "Worker":
    from workers.stored_reconstruct_worker import StoredReconstructWorker

    return StoredReconstructWorker(spec)
