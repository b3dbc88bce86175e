"""Settings of the evaluate worker."""

from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from workers.column import Column
from workers.device_kind import RequestedDevice
from workers.label_column import LabelColumn
from workers.metrics.log_mel_statistics_spec import MAX_RATE_HZ, LogMelStatisticsSpec
from workers.metrics.metric_names import (
    DEFAULT_METRICS,
    HEARD_METRICS,
    MODELS,
    PAIR_METRICS,
    STATUSES,
    HeardMetric,
    MetricName,
    PairMetric,
    check_metrics,
)
from workers.models.ast_spec import AstSpec
from workers.models.clap_spec import ClapSpec
from workers.models.embedding_spec import EmbeddingSpec
from workers.number_column import NumberColumn
from workers.spec import Spec
from workers.tensor_column import TensorColumn

SIDES: Final = ("reference", "candidate")

EXAMPLES: Final = {
    "embedding": "embedding.kind, such as log_mel_statistics",
    "classifier": "classifier.weights to a folder or hub id, such as MIT/ast-finetuned-audioset-10-10-0.4593",
    "clap": "clap.weights to a folder or hub id, such as laion/clap-htsat-unfused",
}
"""What to set where a model is missing."""

_HEARD: Final[dict[HeardMetric, tuple[str, str]]] = {
    "kl_ref_gen": ("Divergence of the candidate's class probabilities from the reference's, KL(ref ‖ gen)", "nats"),
    "kl_gen_ref": ("Divergence of the reference's class probabilities from the candidate's, KL(gen ‖ ref)", "nats"),
    "clap": ("Cosine between the embeddings of the candidate and of its text", ""),
}
"""Description and unit."""


class EvaluateWorkerSpec(Spec):
    """Pairs of waveforms in, a value and a status for each metric out."""

    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)] = DEFAULT_METRICS
    """What to compute."""

    sample_rate: Annotated[int, Field(ge=1)] = 16_000
    """Of the waveforms, Hz."""

    embedding: EmbeddingSpec | None = None
    """What both sides are embedded by; columns of embeddings are given where there is one."""

    classifier: AstSpec | None = None
    """What tells the classes of both sides; columns of their probabilities are given where there is one."""

    clap: ClapSpec | None = None
    """What holds candidates against texts."""

    text_column: str | None = None
    """Column of the texts."""

    microbatch: Annotated[int, Field(ge=1, le=4096)] = 1
    """Windows that a model sees at once. Part of the job's identity: it may change the last bits."""

    device: RequestedDevice = "cpu"
    """Where models compute."""

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        check_metrics(self.metrics, self.sample_rate)
        check_models(self)
        return self

    @property
    def pair_metrics(self) -> tuple[PairMetric, ...]:
        """Those of the metrics that compare the waveforms of a pair."""
        return tuple(sorted((name for name in PAIR_METRICS if name in self.metrics), key=self.metrics.index))

    def check_packages(self) -> None:
        """Looks for the packages of the metrics, without importing them.

        Raises:
            ValueError: One is missing.
        """
        from workers.metrics.metric_set import METRICS
        from workers.metrics.speech import require

        for name in self.pair_metrics:
            if package := METRICS[name].package:
                try:
                    require(package)
                except ImportError as error:
                    raise ValueError(f"metrics: {name}: {error}") from error

    def outputs(self, num_samples: int, channels: int) -> tuple[Column, ...]:  # noqa: ARG002 (as for other workers)
        """The columns of a pair.

        Raises:
            ValueError: a unit is no pair.
        """
        from workers.metrics.metric_set import METRICS

        if channels != 2:
            raise ValueError(f"expected units of a reference and a candidate, got {channels} waveform(s)")
        columns: list[Column] = []
        for name in self.pair_metrics:
            described = " ".join((METRICS[name].function.__doc__ or name).partition(".")[0].split())
            columns += [
                NumberColumn(name=name, description=described, unit=METRICS[name].unit),
                LabelColumn(name=f"{name}_status", labels=STATUSES, description=f"`ok`, or why {name} has no value"),
            ]
        for heard in HEARD_METRICS:
            if heard in self.metrics:
                columns += [
                    NumberColumn(name=heard, description=_HEARD[heard][0], unit=_HEARD[heard][1]),
                    LabelColumn(
                        name=f"{heard}_status", labels=STATUSES, description=f"`ok`, or why {heard} has no value"
                    ),
                ]
        if self.embedding is not None:
            columns += _sides("embedding", f"by {self.embedding.kind}", self.embedding.dimension)
        if self.classifier is not None:
            columns += _sides("class_log_probabilities", f"by {self.classifier.kind}", self.classifier.num_classes)
        return tuple(columns)


def check_models(spec: Any) -> None:
    """Looks whether metrics have the models that they need.

    Args:
        spec: an `EvaluateWorkerSpec`, or a job with those fields.

    Raises:
        ValueError: one is missing, or cannot hear clips of this rate.
    """
    for name, metrics in MODELS.items():
        needy = [metric for metric in spec.metrics if metric in metrics]
        if needy and getattr(spec, name) is None:
            raise ValueError(f"metrics has {', '.join(needy)}, but there is no {name}: set {EXAMPLES[name]}")
    if "clap" in spec.metrics and spec.text_column is None:
        raise ValueError("metrics has clap, but there is no text_column: name the column with the texts")
    needs_statistics = isinstance(spec.embedding, LogMelStatisticsSpec) and MODELS["embedding"] & set(spec.metrics)
    if needs_statistics and spec.sample_rate > MAX_RATE_HZ:
        raise ValueError(f"log_mel_statistics is defined up to {MAX_RATE_HZ:,} Hz, not at {spec.sample_rate:,}")


def _sides(name: str, described: str, dimension: int) -> list[Column]:
    """A vector of each side, and why there is none."""
    columns: list[Column] = []
    for side in SIDES:
        vector = f"{side}_{name}"
        columns += [
            TensorColumn(
                name=vector,
                shape=(dimension,),
                dtype="float32",
                description=f"{name.replace('_', ' ')} of the {side} {described}; NaN where there is none",
                may_be_undefined=True,
            ),
            LabelColumn(
                name=f"{vector}_status", labels=STATUSES, description=f"`ok`, or why the {side} has no {vector}"
            ),
        ]
    return columns
