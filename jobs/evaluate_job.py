"""`kind: evaluate`: what was made beside what it was made from → metrics of each pair, and of all."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from jobs.base import Findings, Job, Work, output_path
from jobs.recordings import absolute_source
from jobs.spec_error import SpecError, as_spec_error
from pipeline.segment_spec import SegmentSpec
from pipeline.source.match_by import MatchBy
from pipeline.source_spec import SourceSpec
from workers.audio.decode_spec import DecodeSpec, ResampleQuality
from workers.device_kind import DeviceKind
from workers.evaluate_worker_spec import EvaluateWorkerSpec
from workers.files import absolute
from workers.metrics.log_mel_statistics_spec import LogMelStatisticsSpec
from workers.metrics.metric_names import (
    DEFAULT_METRICS,
    DEFINITIONS,
    HEARD_DEFINITIONS,
    NEED_EMBEDDING,
    MetricName,
    check_metrics,
    hears,
    needs_pairs,
)
from workers.models.embedding_spec import EmbeddingSpec
from workers.spec import PathText

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.inputs import Inputs
    from pipeline.model_stage import Worker
    from pipeline.store import LatentStore


class EvaluateJob(Job):
    """Judges codecs, VAEs, vocoders and enhancers over whole datasets."""

    kind: Literal["evaluate"] = "evaluate"
    """Metrics of pairs."""

    reference: SourceSpec
    """The originals; their columns are carried into the store."""

    candidate: SourceSpec
    """What was made of them. Of a store with several sounds, `audio_column` says which: reference and candidate may be
    one store."""

    match_by: MatchBy = "stem"
    """What makes two recordings a pair: the same name without extension (`stem`) or with it (`name`)."""

    sample_rate: int = Field(default=16_000, ge=1, le=768_000)
    """Rate in Hz at which pairs are compared. A pair with a clip of another rate has the status `rate_mismatch`, unless
    there is a resampler."""

    resampler: ResampleQuality | None = None
    """soxr recipe (VHQ, HQ, MQ, LQ, QQ) that brings clips to that rate; null compares none of another rate."""

    max_length_difference_samples: int = Field(default=256, ge=0)
    """By how much the clips of a pair may differ in length: a hop of what made them. The shorter counts."""

    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)] = DEFAULT_METRICS
    """What to compute."""

    segment: SegmentSpec = SegmentSpec(length_seconds=120.0, tail="keep", bucket_seconds=5.0)
    """Longer pairs are cut, and each part is scored by itself; a rest of less than a second is not."""

    embedding: EmbeddingSpec | None = LogMelStatisticsSpec()
    """What `fad` and `kad` compare sounds by. The default needs no weights, so its values compare with nothing that was
    published. Not used where no metric needs it."""

    allow_few: bool = False
    """Give a `fad` even where there are fewer clips than the embedding has dimensions, and it is far too large."""

    group_by: str | None = None
    """Column of the references that the summary is also given by, such as `category`."""

    compare_with: PathText | None = None
    """Another store of this kind, of the same references: the summary tells the differences to it."""

    @field_validator("reference", "candidate")
    @classmethod
    def _headers_are_read(cls, source: SourceSpec) -> SourceSpec:
        if source.duration_column is not None:
            raise ValueError("duration_column is set, but lengths are compared, so headers are read; leave it out")
        return source

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        check_metrics(self.metrics, self.sample_rate)
        return self

    @property
    def device_kind(self) -> DeviceKind:
        """Metrics run on CPUs, where float64 costs little."""
        return "cpu"

    def resolved(self, num_gpus: float) -> tuple[Self, tuple[str, ...]]:  # noqa: ARG002 (none is used)
        """Decides what paths mean."""
        changes: dict[str, object] = {side: absolute_source(getattr(self, side)) for side in ("reference", "candidate")}
        if self.compare_with is not None:
            changes["compare_with"] = absolute(self.compare_with)
        job = self.settled().model_copy(update={**changes, "output": output_path(self.output)})
        return job, job._notes()

    def asking(self, metrics: tuple[MetricName, ...]) -> Self:
        """This job if it asked for these metrics."""
        return self.model_copy(update={"metrics": metrics}).settled()

    def facts(self) -> dict[str, str]:
        """What decides content beside the spec of a resolved job."""
        return {"metrics": DEFINITIONS} | ({"heard": HEARD_DEFINITIONS} if hears(self.metrics) else {})

    def settled(self) -> Self:
        """This job without the settings that none of its metrics needs."""
        wanted = set(self.metrics)
        unused = [] if wanted & NEED_EMBEDDING else ["embedding"]
        return self.model_copy(update=dict.fromkeys(unused))

    def _notes(self) -> tuple[str, ...]:
        if isinstance(self.embedding, LogMelStatisticsSpec):
            return ("fad and kad are over log_mel_statistics: they compare runs of this kind, not published values",)
        return ()

    def inputs(self) -> "Inputs":
        """Pairs of recordings."""
        from pipeline.pairs import Pairs

        return Pairs(
            reference=self.reference,
            candidate=self.candidate,
            match_by=self.match_by,
            sample_rate=self.sample_rate,
            resamples=self.resampler is not None,
            max_difference_samples=self.max_length_difference_samples,
            alone=hears(self.metrics),
            may_be_unpaired=not needs_pairs(self.metrics),
        )

    def work(self) -> Work:
        """All metrics in one worker."""
        worker = EvaluateWorkerSpec(metrics=self.metrics, sample_rate=self.sample_rate, embedding=self.embedding)
        with as_spec_error():
            worker.check_packages()
        return Work(
            decode=DecodeSpec(sample_rate=self.sample_rate, channels="mono", resample_quality=self.resampler or "HQ"),
            worker=worker,
            load_worker=_load,
            alignment_samples=1,
            min_samples=1,
            variable_length=False,
            num_recordings=2,
            min_tail_samples=min(self.sample_rate, int(self.segment.length_seconds * self.sample_rate) // 2),
            facts=self.facts(),
        )

    def check_columns(self, schema: "pa.Schema") -> None:
        """`group_by` is one of them, and `compare_with` a store that has metrics of this one."""
        if self.group_by is not None and self.group_by not in schema.names:
            raise SpecError(
                f"group_by: no column {self.group_by!r}; there are {', '.join(schema.names)}. Columns of the source are"
                " carried from the references, where those are a manifest, shards, tables or a store"
            )
        if self.group_by is not None and not _has_texts(dtype := schema.field(self.group_by).type):
            raise SpecError(f"group_by: column {self.group_by!r} is {dtype}; take one of texts, numbers or times")
        if self.compare_with is not None:
            from jobs.comparison import check_comparison

            check_comparison(self, self.compare_with)

    def findings(self, store: "LatentStore") -> Findings:
        """The summary, as a table."""
        from jobs.evaluation import describe_evaluation, evaluation

        found = evaluation(
            store,
            self.metrics,
            seed=self.seed,
            group_by=self.group_by,
            compare_with=self.compare_with,
            allow_few=self.allow_few,
        )
        return Findings(describe_evaluation(found), found.as_json())


def _has_texts(dtype: "pa.DataType") -> bool:
    """Whether values can be written as short texts."""
    import pyarrow.types as kinds

    return not (kinds.is_nested(dtype) or "binary" in str(dtype))


def _load(spec: EvaluateWorkerSpec) -> "Worker":
    from workers.evaluate_worker import EvaluateWorker

    return EvaluateWorker(spec)
