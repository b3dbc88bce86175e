"""The metrics by name, and a scorer that computes several for one pair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from workers.guarded.guard import Guard
from workers.guarded.limits import GuardLimits
from workers.metrics.metric_names import DEFAULT_METRICS, PairMetric
from workers.metrics.outcome import Score
from workers.metrics.pair import Pair
from workers.metrics.spectral import log_mel_l1, lsd, mrstft
from workers.metrics.speech import estoi, pesq_nb, pesq_wb, require, stoi
from workers.metrics.waveform import correlation, si_sdr_db, snr_db

PESQ_LIMITS: Final = GuardLimits(seconds=120.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """How a metric is computed, and how its values are to be read."""

    function: Callable[..., Score]
    """Takes a `Pair`; where `guarded`, a `Guard` too."""

    unit: str
    """Empty for a pure number."""

    better: Literal["lower", "higher"]
    """Which values say that the degraded clip is nearer to its reference."""

    package: Literal["pesq", "pystoi"] | None = None
    """Of the extra `speech`, which it needs."""

    guarded: bool = False
    """Whether it may kill its process, and so runs in a child."""


METRICS: Final[Mapping[PairMetric, Metric]] = MappingProxyType(
    {
        "log_mel_l1": Metric(function=log_mel_l1, unit="decades", better="lower"),
        "lsd": Metric(function=lsd, unit="decades", better="lower"),
        "mrstft": Metric(function=mrstft, unit="", better="lower"),
        "snr_db": Metric(function=snr_db, unit="dB", better="higher"),
        "si_sdr_db": Metric(function=si_sdr_db, unit="dB", better="higher"),
        "correlation": Metric(function=correlation, unit="", better="higher"),
        "pesq_wb": Metric(function=pesq_wb, unit="MOS-LQO", better="higher", package="pesq", guarded=True),
        "pesq_nb": Metric(function=pesq_nb, unit="MOS-LQO", better="higher", package="pesq", guarded=True),
        "stoi": Metric(function=stoi, unit="", better="higher", package="pystoi"),
        "estoi": Metric(function=estoi, unit="", better="higher", package="pystoi"),
    }
)


class Scorer:
    """Computes the same metrics for pair after pair; a pair's scores depend on nothing but the pair.

    Args:
        names: What to compute, each once.
        hop_length: By how many samples the lengths of a pair may differ, see `Pair.of`.

    Raises:
        ImportError: A metric's package is missing.
        ValueError: A name is unknown or given twice.
    """

    def __init__(self, names: Sequence[PairMetric] = DEFAULT_METRICS, *, hop_length: int) -> None:
        if unknown := [name for name in names if name not in METRICS]:
            raise ValueError(f"unknown metrics {unknown}: choose from {list(METRICS)}")
        if len(set(names)) < len(names):
            raise ValueError(f"metrics are given twice in {list(names)}: name each once")
        self._hop_length = hop_length
        self._guard = Guard(PESQ_LIMITS)  # starts its child when PESQ first calls it
        self._functions: dict[PairMetric, Callable[[Pair], Score]] = {}
        for name in names:
            metric = METRICS[name]
            if metric.package is not None:
                require(metric.package)
            self._functions[name] = partial(metric.function, guard=self._guard) if metric.guarded else metric.function

    def __call__(
        self,
        reference: NDArray[np.floating[Any]],
        degraded: NDArray[np.floating[Any]],
        *,
        reference_rate_hz: int,
        degraded_rate_hz: int,
    ) -> dict[PairMetric, Score]:
        """Score one pair.

        Args:
            reference: floating [T] or [C, T], as `Pair.of` takes it.
            degraded: floating [T] or [C, T].
            reference_rate_hz: Its sample rate.
            degraded_rate_hz: Its sample rate, the same.

        Returns:
            A score for each name, in the order of the names.

        Raises:
            GuardError: PESQ's child process cannot be started, or was killed from outside.
            MismatchError: The rates or lengths do not belong together, or a metric is not computed at this rate.
            TypeError: Samples are not floating.
            ValueError: A shape is wrong, or a metric has no meaning at this rate.
        """
        pair = Pair.of(
            reference,
            degraded,
            reference_rate_hz=reference_rate_hz,
            degraded_rate_hz=degraded_rate_hz,
            hop_length=self._hop_length,
        )
        return {name: function(pair) for name, function in self._functions.items()}

    def close(self) -> None:
        """Ends the child process, if there is one."""
        self._guard.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
