"""Settings of the encode worker."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workers.audio.mel_spec import MelSpec
from workers.device_kind import RequestedDevice
from workers.mel_worker_spec import StoredDtype
from workers.models.precision import Precision
from workers.models.vae_spec import (
    VaeSpec,
    check_front_end,
    latent_shape,
    step_samples,
    unit_latent_shape,
)
from workers.spec import Spec
from workers.tensor_column import TensorColumn

_DESCRIPTIONS = {
    "latent_mean": "mean of the VAE posterior, not scaled",
    "latent_logvar": "log-variance of the VAE posterior, not scaled",
    "latent_sample": "draw from the VAE posterior with the row's seed, not scaled",
}
_COLUMNS: dict[str, tuple[str, ...]] = {
    "moments": ("latent_mean", "latent_logvar"),
    "mean": ("latent_mean",),
    "sample": ("latent_sample",),
}


class EncodeWorkerSpec(Spec):
    """Waveforms in, VAE latents out."""

    mel: MelSpec | None = MelSpec()
    """The front end; null where the VAE takes waveforms."""

    model: VaeSpec
    """The VAE."""

    latent: Literal["moments", "mean", "sample"] = "moments"
    """What is kept of the posterior."""

    precision: Precision = "float32"
    """What the VAE computes in; the mel is always exact to float32."""

    microbatch: Annotated[int, Field(ge=2, le=4096)] = 8
    """Units that the VAE sees at once, padded to this many. Part of the job's identity: it may change the last bits."""

    device: RequestedDevice = "auto"
    """Where to compute; `auto` is the GPU where there is one."""

    channels: Annotated[int, Field(ge=1, le=64)] = 1
    """Audio channels of every unit; a VAE of mels encodes each as a mono signal of its own."""

    dtype: StoredDtype = "float16"
    """How the store keeps the values."""

    @model_validator(mode="after")
    def _check_front_end(self) -> Self:
        check_front_end(self.model, self.mel)
        return self

    @property
    def alignment_samples(self) -> int:
        """A unit's samples must be a multiple of this: those of a latent step.

        Raises:
            ValueError: The model's config cannot be read.
        """
        return step_samples(self.model, self.mel)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that come out."""
        return _COLUMNS[self.latent]

    def outputs(self, num_samples: int, channels: int) -> tuple[TensorColumn, ...]:
        """The columns of a unit [channels, num_samples]; channels come first in a shape where there are several.

        Raises:
            ValueError: The model does not take such a unit, or its config cannot be read.
        """
        if channels != self.channels:
            raise ValueError(f"the spec says {self.channels} channels, a unit has {channels}")
        shape = unit_latent_shape(self.model, self.mel, num_samples, channels)
        return tuple(
            TensorColumn(
                name=name,
                shape=shape,
                dtype=self.dtype,
                description=_DESCRIPTIONS[name],
                channel_axis=-len(latent_shape(self.model, self.mel, num_samples)),
            )
            for name in self.columns
        )
