"""Settings of the evaluate worker."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from workers.column import Column
from workers.label_column import LabelColumn
from workers.metrics.metric_names import DEFAULT_METRICS, STATUSES, MetricName, check_metrics
from workers.number_column import NumberColumn
from workers.spec import Spec


class EvaluateWorkerSpec(Spec):
    """Pairs of waveforms in, a value and a status for each metric out."""

    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)] = DEFAULT_METRICS
    """What to compute."""

    sample_rate: Annotated[int, Field(ge=1)] = 16_000
    """Of the waveforms, Hz."""

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        check_metrics(self.metrics, self.sample_rate)
        return self

    def check_packages(self) -> None:
        """Looks for the packages of the metrics, without importing them.

        Raises:
            ValueError: One is missing.
        """
        from workers.metrics.metric_set import METRICS
        from workers.metrics.speech import require

        for name in self.metrics:
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
        for name in self.metrics:
            described = " ".join((METRICS[name].function.__doc__ or name).partition(".")[0].split())
            columns += [
                NumberColumn(name=name, description=described, unit=METRICS[name].unit),
                LabelColumn(name=f"{name}_status", labels=STATUSES, description=f"`ok`, or why {name} has no value"),
            ]
        return tuple(columns)
