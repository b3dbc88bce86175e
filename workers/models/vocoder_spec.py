"""Which vocoder makes sound of mels: one settings model per kind."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from workers.models.hifigan_spec import HifiganSpec
from workers.models.transformers_vocoder_spec import TransformersVocoderSpec


def _kind_filled_in(given: Any) -> Any:
    """Specs from when there was one kind need not name it."""
    default = TransformersVocoderSpec.model_fields["kind"].default
    return {"kind": default, **given} if isinstance(given, Mapping) else given


VocoderSpec = Annotated[
    TransformersVocoderSpec | HifiganSpec, Field(discriminator="kind"), BeforeValidator(_kind_filled_in)
]
