"""`kind: evaluate`: what was made beside what it was made from → metrics of each pair, and of all."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from jobs.base import Findings, Job, Work, decide_device, decided_device, output_path
from jobs.recordings import absolute_source
from jobs.spec_error import SpecError, as_spec_error
from pipeline.segment_spec import SegmentSpec
from pipeline.source.match_by import MatchBy
from pipeline.source_spec import SourceSpec
from workers.audio.decode_spec import DecodeSpec, ResampleQuality
from workers.device_kind import DeviceKind, RequestedDevice
from workers.evaluate_worker_spec import EvaluateWorkerSpec, check_models
from workers.files import absolute
from workers.metrics.log_mel_statistics_spec import LogMelStatisticsSpec
from workers.metrics.metric_names import (
    DEFAULT_METRICS,
    DEFINITIONS,
    HEARD_DEFINITIONS,
    MODELS,
    MetricName,
    check_metrics,
    hears,
    needs_pairs,
)
from workers.models.ast_spec import AstSpec
from workers.models.clap_spec import ClapSpec
from workers.models.embedding_spec import EmbeddingSpec
from workers.models.hearing_spec import HearingSpec
from workers.models.weights import weights_digest
from workers.spec import PathText

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.inputs import Inputs
    from pipeline.store import LatentStore
    from pipeline.torch_worker import Worker


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
    published."""

    classifier: AstSpec | None = None
    """What tells the classes of sounds, for `kl_ref_gen`, `kl_gen_ref` and `inception_score`."""

    clap: ClapSpec | None = None
    """What holds sounds against texts, for `clap`."""

    text_column: str | None = "caption"
    """Column of the references with the text that a candidate should sound like, for `clap`."""

    device: RequestedDevice | None = "auto"
    """What these models compute on; `auto` is a GPU where there is one. Part of the identity: the last bits differ."""

    microbatch: Annotated[int, Field(ge=1, le=4096)] | None = 8
    """Windows of sound that such a model hears at once on a GPU, always filled up to this many, so that a clip's vector
    never depends on its neighbours; another number may change the last bits, so it is part of the identity."""

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
        check_models(self)
        return self

    @property
    def device_kind(self) -> DeviceKind:
        """That of the models; other metrics run on CPUs, where float64 costs little.

        Raises:
            ValueError: it is not resolved.
        """
        return "cpu" if self.device is None else decided_device(self.device)

    def resolved(self, num_gpus: float) -> tuple[Self, tuple[str, ...]]:
        """Decides what paths mean, which files the weights are, and the device; leaves out what no metric needs."""
        changes: dict[str, object] = {side: absolute_source(getattr(self, side)) for side in ("reference", "candidate")}
        if self.compare_with is not None:
            changes["compare_with"] = absolute(self.compare_with)
        job = self.settled().model_copy(update={**changes, "output": output_path(self.output)})
        notes = tuple(
            f"{name} is set, and no metric needs it"
            for name in ("classifier", "clap")
            if getattr(self, name) is not None and getattr(job, name) is None
        )
        if isinstance(job.embedding, LogMelStatisticsSpec):
            notes += ("fad and kad are over log_mel_statistics: they compare runs of this kind, not published values",)
        models = {}
        for name, model in job.models().items():
            models[name], more = model.resolved()
            notes += more
            if (rate := models[name].sample_rate) > self.sample_rate:
                notes += (
                    f"{name} hears at {rate:,} Hz, and clips are compared at {self.sample_rate:,}, so that it hears"
                    f" nothing above {self.sample_rate // 2:,} Hz; sample_rate: {rate} would let it",
                )
        job = job.model_copy(update=models)
        if models:
            job = job.model_copy(update={"device": decide_device(job.device or "auto", num_gpus)})
        return job, notes

    def models(self) -> dict[str, HearingSpec]:
        """Settings of the models that have weights."""
        found = {name: getattr(self, name) for name in MODELS}
        return {name: model for name, model in found.items() if isinstance(model, HearingSpec)}

    def asking(self, metrics: tuple[MetricName, ...]) -> Self:
        """This job if it asked for these metrics."""
        return self.model_copy(update={"metrics": metrics}).settled()

    def facts(self) -> dict[str, str]:
        """What decides content beside the spec of a resolved job; hashes weights."""
        heard = {"heard": HEARD_DEFINITIONS} if hears(self.metrics) else {}
        return {"metrics": DEFINITIONS, **heard} | {name: weights_digest(one) for name, one in self.models().items()}

    def settled(self) -> Self:
        """This job without the settings that none of its metrics needs."""
        wanted = set(self.metrics)
        job = self.model_copy(update=dict.fromkeys(name for name, metrics in MODELS.items() if not metrics & wanted))
        unused = [] if "clap" in wanted else ["text_column"]
        unused += [] if job.models() else ["device", "microbatch"]
        return job.model_copy(update=dict.fromkeys(unused))

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
            text_column=self.text_column if self.clap is not None else None,
        )

    def work(self) -> Work:
        """All metrics in one worker."""
        worker = EvaluateWorkerSpec(
            metrics=self.metrics,
            sample_rate=self.sample_rate,
            embedding=self.embedding,
            classifier=self.classifier,
            clap=self.clap,
            text_column=self.text_column,
            microbatch=self.microbatch or 1,
            device=self.device_kind,
        )
        with as_spec_error():
            worker.check_packages()
            if self.clap is not None:
                self.clap.check_tokenizer()
        return Work(
            segment=self.segment,
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
        """`group_by` and `text_column` are some of them, and `compare_with` a store that has metrics of this one."""
        if self.text_column is not None and (
            self.text_column not in schema.names or not _is_text(schema.field(self.text_column).type)
        ):
            raise SpecError(
                f"text_column: no column {self.text_column!r} of texts, which the metric clap needs; there are"
                f" {', '.join(schema.names)}. Make the references a manifest, shards, tables or a store with one"
            )
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


def _is_text(dtype: "pa.DataType") -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_string(dtype) or kinds.is_large_string(dtype))


def _load(spec: EvaluateWorkerSpec) -> "Worker":
    from workers.evaluate_worker import EvaluateWorker

    return EvaluateWorker(spec)
