"""Settings of the evaluate worker."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from workers.column import Column
from workers.label_column import LabelColumn
from workers.metrics.log_mel_statistics_spec import MAX_RATE_HZ, LogMelStatisticsSpec
from workers.metrics.metric_names import (
    DEFAULT_METRICS,
    NEED_EMBEDDING,
    PAIR_METRICS,
    STATUSES,
    MetricName,
    PairMetric,
    check_metrics,
)
from workers.models.embedding_spec import EmbeddingSpec
from workers.number_column import NumberColumn
from workers.spec import Spec
from workers.tensor_column import TensorColumn

SIDES: Final = ("reference", "candidate")


class EvaluateWorkerSpec(Spec):
    """Pairs of waveforms in, a value and a status for each metric out."""

    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)] = DEFAULT_METRICS
    """What to compute."""

    sample_rate: Annotated[int, Field(ge=1)] = 16_000
    """Of the waveforms, Hz."""

    embedding: EmbeddingSpec | None = None
    """What both sides are embedded by; columns of embeddings are given where there is one."""

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        check_metrics(self.metrics, self.sample_rate)
        needy = sorted(NEED_EMBEDDING & set(self.metrics))
        if needy and self.embedding is None:
            raise ValueError(f"metrics has {', '.join(needy)}, but there is no embedding: set embedding")
        if isinstance(self.embedding, LogMelStatisticsSpec) and self.sample_rate > MAX_RATE_HZ:
            raise ValueError(f"log_mel_statistics is defined up to {MAX_RATE_HZ:,} Hz, not at {self.sample_rate:,}")
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

    @property
    def microbatch(self) -> int:
        """Each pair is scored by itself."""
        return 1

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
        if self.embedding is not None:
            columns += _sides("embedding", f"by {self.embedding.kind}", self.embedding.dimension)
        return tuple(columns)


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
