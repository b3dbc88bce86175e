"""Which embedding sounds are compared by: one settings model per kind."""

from workers.metrics.log_mel_statistics_spec import LogMelStatisticsSpec

EmbeddingSpec = LogMelStatisticsSpec
