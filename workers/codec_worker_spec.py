"""Settings of the codec worker."""

from typing import Annotated

from pydantic import Field

from workers.device_kind import RequestedDevice
from workers.models.encoder_spec import AnyCodecSpec
from workers.spec import Spec
from workers.tensor_column import TensorColumn


class CodecWorkerSpec(Spec):
    """Waveforms in, discrete codes out."""

    model: AnyCodecSpec
    """The codec; it computes in float32, since the nearest of many codes is a matter of small differences."""

    microbatch: Annotated[int, Field(ge=1, le=4096)] = 8
    """Units that the codec sees at once, padded to this many. Part of the job's identity: it may change codes."""

    device: RequestedDevice = "auto"
    """Where to compute; `auto` is the GPU where there is one."""

    channels: Annotated[int, Field(ge=1, le=64)] = 1
    """Audio channels of every unit; each is encoded as a mono signal of its own."""

    @property
    def alignment_samples(self) -> int:
        """A unit's samples must be a multiple of this: those of a frame.

        Raises:
            ValueError: The model's config cannot be read.
        """
        return self.model.hop_length

    def outputs(self, num_samples: int, channels: int) -> tuple[TensorColumn, ...]:
        """The column of a unit [channels, num_samples]: `codes` [codebooks, frames], channels first where there are
        several.

        Raises:
            ValueError: The codec does not take such a unit, or its config cannot be read.
        """
        if channels != self.channels:
            raise ValueError(f"the spec says {self.channels} channels, a unit has {channels}")
        shape = self.model.codes_shape(num_samples)
        return (
            TensorColumn(
                name="codes",
                shape=shape if channels == 1 else (channels, *shape),
                dtype="uint16" if self.model.codebook_size <= 1 << 16 else "uint32",
                description=f"codes of {self.model.kind}, a row for each codebook, the coarsest first",
                channel_axis=-2,
            ),
        )
