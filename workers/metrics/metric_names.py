"""What the metrics are called, for specs, which do not import torch."""

from typing import Final, Literal, TypeAlias

MetricName: TypeAlias = Literal[
    "log_mel_l1", "lsd", "mrstft", "snr_db", "si_sdr_db", "correlation", "pesq_wb", "pesq_nb", "stoi", "estoi"
]

DEFAULT_METRICS: Final[tuple[MetricName, ...]] = ("log_mel_l1", "lsd", "mrstft", "snr_db", "si_sdr_db", "correlation")
"""Those that are defined for any sound and need no other package."""

DEFINITIONS: Final = "1"
"""Changes whenever any metric gives another value, or another status, for the same clips."""
