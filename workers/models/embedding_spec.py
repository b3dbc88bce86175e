"""Which embedding sounds are compared by: one settings model per kind."""

from typing import Annotated

from pydantic import Field

from workers.metrics.log_mel_statistics_spec import LogMelStatisticsSpec
from workers.models.ast_spec import AstSpec
from workers.models.clap_spec import ClapSpec
from workers.models.encodec_spec import EncodecSpec

EmbeddingSpec = Annotated[LogMelStatisticsSpec | ClapSpec | EncodecSpec | AstSpec, Field(discriminator="kind")]
