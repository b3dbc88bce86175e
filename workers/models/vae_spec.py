"""Which VAE encodes: one settings model per kind."""

from typing import Annotated

from pydantic import Field

from workers.models.audio_vae_spec import AudioVaeSpec
from workers.models.diffusers_vae_spec import DiffusersVaeSpec

VaeSpec = Annotated[AudioVaeSpec | DiffusersVaeSpec, Field(discriminator="kind")]
