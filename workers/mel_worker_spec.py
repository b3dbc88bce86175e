"""Settings of the mel worker."""

from typing import Annotated, Literal

from pydantic import Field

from workers.audio.mel_spec import MelSpec
from workers.device_kind import RequestedDevice
from workers.spec import Spec
from workers.tensor_column import TensorColumn

StoredDtype = Literal["float16", "float32"]

_LOG_NAMES = {"ln": "natural log of ", "log10": "log10 of ", "none": ""}


class MelWorkerSpec(Spec):
    """Waveforms in, log-mel spectrograms out."""

    mel: MelSpec = MelSpec()
    """The front end."""

    microbatch: Annotated[int, Field(ge=1, le=4096)] = 8
    """Clips computed at once, always padded to this many; bounds memory. Another number changes nothing on a CPU, and
    perhaps the last bits on a GPU."""

    device: RequestedDevice = "auto"
    """Where to compute; `auto` is the GPU where there is one."""

    dtype: StoredDtype = "float16"
    """How the store keeps the values."""

    @property
    def alignment_samples(self) -> int:
        """A unit's samples must be a multiple of this: one hop."""
        return self.mel.hop_length

    def outputs(self, num_samples: int, channels: int) -> tuple[TensorColumn, ...]:
        """The column of a unit [channels, num_samples]: `mel` [n_mels, frames], channels first where there are several.

        Raises:
            ValueError: The unit is too short.
        """
        shape = (self.mel.n_mels, self.mel.num_frames(num_samples))
        return (
            TensorColumn(
                name="mel",
                shape=shape if channels == 1 else (channels, *shape),
                dtype=self.dtype,
                description=(
                    f"{_LOG_NAMES[self.mel.log]}{self.mel.spectrum} mel, "
                    f"{'' if channels == 1 else '[channel] '}[band] [frame]"
                ),
                channel_axis=-2,
                unit=f"{self.mel.log}({self.mel.spectrum})" if self.mel.log != "none" else self.mel.spectrum,
            ),
        )
