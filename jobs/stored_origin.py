"""A store of mels or latents as what a job goes on from: what it holds, and how that was made."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.identity import NOT_CONTENT, differences
from pipeline.source_spec import SourceSpec
from workers.models.codec_spec import CodecSpec
from workers.models.vae_spec import VaeSpec

if TYPE_CHECKING:
    from jobs.encode_job import EncodeJob
    from jobs.mel_job import MelJob
    from jobs.reconstruct_job import ReconstructJob
    from workers.reconstruct_worker_spec import Stored

_SECTIONS = ("segment", "audio", "mel")
"""What the store's job decided once and for all."""


@dataclass(frozen=True, slots=True)
class StoredOrigin:
    """The job that such a store was made by."""

    store: str
    job: "MelJob | EncodeJob"
    facts: dict[str, str]
    """That decided its content beside the spec."""

    @property
    def stored(self) -> "Stored":
        """What it holds."""
        return self.job.latent if self.job.kind == "encode" else "mel"

    @property
    def holds(self) -> str:
        """The same in words."""
        return "mels" if self.job.kind == "mel" else f"latents ({self.stored})"

    @property
    def dtype(self) -> str:
        """How its tensors are stored, a numpy name."""
        return self.job.dtype

    def fitted(self, job: "ReconstructJob") -> dict[str, object]:
        """Fields of a job that follow from the store that it goes on from.

        Raises:
            ValueError: The job says otherwise; the message lists what and tells what to leave out.
        """
        if self.job.audio.channels == "keep":
            raise ValueError(
                f"source.path: {self.store} was made with audio.channels: keep: its units may differ in channels;"
                " give a store that was made with mono or stereo"
            )
        wrong = [difference for section in _SECTIONS for difference in _differences(job, self.job, section)]
        if wrong:
            raise self._made_otherwise(wrong)
        fields: dict[str, object] = {section: getattr(self.job, section) for section in _SECTIONS}
        if self.job.kind == "mel":
            return fields if "model" in job.model_fields_set else fields | {"model": None}
        fields["model"] = self._model(job)
        if self.job.latent == "sample":
            if "latent" in job.model_fields_set and job.latent != "sample":
                raise ValueError(f"latent is {job.latent}, but {self.store} keeps one draw of each: leave latent out")
            fields["latent"] = "sample"
        elif self.job.latent == "mean" and job.latent == "sample":
            raise ValueError(f"latent is sample, but {self.store} keeps the mean alone: set latent: mean")
        return fields

    def _model(self, job: "ReconstructJob") -> object:
        """The model that made the latents; where the spec names one, it has to be that one, wherever it lies."""
        assert self.job.kind == "encode"
        if "model" not in job.model_fields_set:
            return self.job.model
        if job.model is None:
            raise ValueError(f"model is null, but {self.store} holds latents: leave model out")
        wrong = _differences(job, self.job, "model", but=NOT_CONTENT["model"])
        if wrong:
            raise self._made_otherwise(wrong)
        places = {name: getattr(job.model, name) for name in NOT_CONTENT["model"] if hasattr(job.model, name)}
        return self.job.model.model_copy(update=places)

    def check_weights(self, model: VaeSpec | None, digest: str | None) -> None:
        """Refuse to decode latents with other weights than those that made them.

        Args:
            model: Of the job that goes on.
            digest: Of its weights.

        Raises:
            ValueError: The folder holds others now, or a copy that the job names does.
        """
        if self.job.kind == "mel" or model is None or digest == self.facts.get("weights"):
            return
        raise ValueError(
            f"model.weights {model.weights}: other weights than those that made the latents of {self.store}"
            f" ({self.job.model.kind}, {self.job.model.weights}); put those back, or give a copy of them"
        )

    def _made_otherwise(self, wrong: list[tuple[str, Any, Any]]) -> ValueError:
        listed = "; ".join(f"{name} is {_shown(given)} and the store's {_shown(own)}" for name, given, own in wrong)
        return ValueError(f"source.path: {self.store} was made otherwise: {listed}. Leave those fields out")


def find_origin(source: SourceSpec) -> StoredOrigin | None:
    """The store of mels or latents that a source is; None where it is something else.

    Raises:
        ValueError: It is a store whose spec or manifest cannot be read.
    """
    from jobs.encode_job import EncodeJob
    from jobs.mel_job import MelJob
    from jobs.recorded import recorded_facts, recorded_job, recorded_manifest
    from pipeline.source.listing import may_be_folder
    from pipeline.source.store_source import is_store
    from workers.files import check_uri

    if not isinstance(source.path, str):
        return None
    check_uri(source.path)
    if not may_be_folder(source.path) or not is_store(source.path):
        return None
    job = recorded_job(source.path)
    if not isinstance(job, MelJob | EncodeJob):
        return None
    if isinstance(job.model if isinstance(job, EncodeJob) else None, CodecSpec):
        raise ValueError(
            f"source.path: {source.path} holds codes, which no method decodes; give one of mels or latents"
        )
    return StoredOrigin(source.path, job, recorded_facts(recorded_manifest(source.path)))


def _differences(
    job: "ReconstructJob", other: "MelJob | EncodeJob", section: str, *, but: Collection[str] = ()
) -> list[tuple[str, Any, Any]]:
    """Fields of a section, but for some, that the spec sets to something else: name, given, and the store's."""
    given, own = getattr(job, section), getattr(other, section)
    if section not in job.model_fields_set or given == own:
        return []
    if given is None or own is None:
        return [(section, given and "set", own and "set")]
    found = differences(given.model_dump(mode="json"), own.model_dump(mode="json"), section)
    # A preset fills in the other fields of a mel, which then count as given.
    return [one for one in found if one[0].split(".")[1] in given.model_fields_set - {"preset", *but}]


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
