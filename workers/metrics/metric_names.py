"""What the metrics and their statuses are called, for specs, which do not import torch."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias, get_args

from workers.metrics.outcome import Undefined

PairMetric: TypeAlias = Literal[
    "log_mel_l1", "lsd", "mrstft", "snr_db", "si_sdr_db", "correlation", "pesq_wb", "pesq_nb", "stoi", "estoi"
]
"""How near a clip is to the one that it was made from, sample by sample or frame by frame."""

HeardMetric: TypeAlias = Literal["kl_ref_gen", "kl_gen_ref", "clap"]
"""What a model says of a clip beside its reference, or beside a text; lengths may differ."""

SetMetric: TypeAlias = Literal["fad", "kad", "inception_score"]
"""What all clips say together; none needs a counterpart."""

MetricName: TypeAlias = Literal[PairMetric, HeardMetric, SetMetric]

PAIR_METRICS: Final[tuple[PairMetric, ...]] = get_args(PairMetric)
HEARD_METRICS: Final[tuple[HeardMetric, ...]] = get_args(HeardMetric)
SET_METRICS: Final[tuple[SetMetric, ...]] = get_args(SetMetric)

MODELS: Final[dict[str, frozenset[MetricName]]] = {
    "embedding": frozenset({"fad", "kad"}),
    "classifier": frozenset({"kl_ref_gen", "kl_gen_ref", "inception_score"}),
    "clap": frozenset({"clap"}),
}
"""Settings of models, and the metrics that need each."""

DEFAULT_METRICS: Final[tuple[PairMetric, ...]] = ("log_mel_l1", "lsd", "mrstft", "snr_db", "si_sdr_db", "correlation")
"""Those that are defined for any sound and need no other package."""

PairStatus: TypeAlias = Literal["ok", "no_reference", "no_candidate", "rate_mismatch", "length_mismatch"]
PAIR_STATUSES: Final[tuple[PairStatus, ...]] = get_args(PairStatus)
"""
| status | there is no metric of the pair, because |
| --- | --- |
| `ok` | there are some |
| `no_reference`, `no_candidate` | a clip has no counterpart |
| `rate_mismatch` | a clip has another sample rate than the one at which they are compared |
| `length_mismatch` | their lengths differ by more than is allowed |
"""

STATUSES: Final[tuple[str, ...]] = (*PAIR_STATUSES, *get_args(Undefined))
"""All that a metric's status column may say."""

HEARD_DEFINITIONS: Final = "1"
"""As DEFINITIONS, of embeddings, class probabilities and what follows from them."""

LOG_MEL_MAX_RATE_HZ: Final = 48_000
SPEECH_RATE_HZ: Final = 16_000
SPEECH_METRICS: Final[frozenset[MetricName]] = frozenset({"pesq_wb", "pesq_nb", "stoi", "estoi"})
"""Those that are defined at that rate alone, and come with the extra `speech`."""

DEFINITIONS: Final = "1"
"""Changes whenever any metric gives another value, or another status, for the same clips."""


def hears(metrics: Iterable[MetricName]) -> bool:
    """Whether any of them is of clips by themselves, so that one without a counterpart counts."""
    return any(name not in PAIR_METRICS for name in metrics)


def needs_pairs(metrics: Iterable[MetricName]) -> bool:
    """Whether any of them says nothing of clips without a counterpart."""
    return any(name not in SET_METRICS for name in metrics)


def check_metrics(metrics: Sequence[MetricName], sample_rate: int) -> None:
    """Looks whether metrics can be computed together at a rate.

    Raises:
        ValueError: one is named twice, or is not defined there.
    """
    if len(set(metrics)) < len(metrics):
        raise ValueError(f"metrics {', '.join(metrics)} repeat one: name each once")
    if "log_mel_l1" in metrics and sample_rate > LOG_MEL_MAX_RATE_HZ:
        raise ValueError(
            f"metrics has log_mel_l1, whose lowest bands hold no bin above {LOG_MEL_MAX_RATE_HZ:,} Hz, and sample_rate"
            f" is {sample_rate:,}; leave it out, or set a lower sample_rate and a resampler"
        )
    speech = sorted(SPEECH_METRICS & set(metrics))
    if speech and sample_rate != SPEECH_RATE_HZ:
        raise ValueError(
            f"metrics has {', '.join(speech)}, defined at {SPEECH_RATE_HZ:,} Hz, but sample_rate is {sample_rate:,};"
            f" set sample_rate: {SPEECH_RATE_HZ}, and a resampler where clips have another"
        )
