"""What an encode job can encode with."""

from typing import Annotated

from pydantic import Field

from workers.models.codec_spec import DacSpec, EncodecCodecSpec, MimiSpec
from workers.models.vae_spec import MelVaeSpec, WaveformVaeSpec

AnyCodecSpec = Annotated[EncodecCodecSpec | DacSpec | MimiSpec, Field(discriminator="kind")]
"""The one place that knows which kinds of codecs there are."""

EncoderSpec = Annotated[
    MelVaeSpec | WaveformVaeSpec | EncodecCodecSpec | DacSpec | MimiSpec, Field(discriminator="kind")
]
"""VAEs, whose latents are numbers, and codecs, whose codes are whole ones."""
