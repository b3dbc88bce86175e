"""Settings of the embedding that needs no weights."""

from typing import Final, Literal

from workers.spec import Spec

NUM_MELS: Final = 32
MAX_RATE_HZ: Final = 192_000


class LogMelStatisticsSpec(Spec):
    """Mean, spread and change over time of log-mel bands: no model, no download, and no FAD or KAD as published."""

    kind: Literal["log_mel_statistics"] = "log_mel_statistics"
    """Selects this embedding."""

    @property
    def dimension(self) -> int:
        """Of the embedding, d."""
        return 3 * NUM_MELS
