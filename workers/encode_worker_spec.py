"""Settings of the encode worker."""

from typing import Annotated, Literal

from pydantic import Field

from workers.audio.mel_spec import MelSpec
from workers.device_kind import RequestedDevice
from workers.mel_worker_spec import StoredDtype
from workers.models.precision import Precision
from workers.models.vae_spec import VaeSpec
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

    mel: MelSpec = MelSpec()
    """The front end."""

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
    """Audio channels of every unit; each is encoded as a mono signal of its own."""

    dtype: StoredDtype = "float16"
    """How the store keeps the values."""

    @property
    def alignment_samples(self) -> int:
        """A unit's samples must be a multiple of this: the hop times the frames per latent step.

        Raises:
            ValueError: The model's config cannot be read.
        """
        return self.mel.hop_length * self.model.time_downsample_factor

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
        shape = self.model.latent_shape(self.mel.n_mels, self.mel.num_frames(num_samples))
        return tuple(
            TensorColumn(
                name=name,
                shape=shape if channels == 1 else (channels, *shape),
                dtype=self.dtype,
                description=_DESCRIPTIONS[name],
                channel_axis=-len(shape),
            )
            for name in self.columns
        )
