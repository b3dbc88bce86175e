"""Settings of EnCodec models."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from workers.models.hearing_spec import HearingSpec


class EncodecSpec(HearingSpec):
    """A published `EncodecModel`, of which the encoder alone is used, before quantisation."""

    model_type: ClassVar[str] = "encodec"
    default_rate_hz: ClassVar[int] = 24_000

    kind: Literal["encodec"] = "encodec"
    """Selects this model."""

    window_seconds: Annotated[float, Field(ge=0.1, le=60.0)] = 5.0
    """What it hears at once; longer sounds are heard in several windows, shorter ones are filled up with silence, which
    does not count."""

    @property
    def sample_rate(self) -> int:
        """At which it hears, Hz: the model's own config says so."""
        return int(self.config().get("sampling_rate", self.default_rate_hz))

    @property
    def dimension(self) -> int:
        """Of the embedding, d."""
        return int(self.config().get("hidden_size", 128))
