"""A sound that a worker gives for each unit, said before it runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioColumn:
    """One waveform per unit, which the store keeps as FLAC. Workers give it as float32 [n, *shape]."""

    name: str
    """Column name in the store."""

    num_channels: int

    num_samples: int
    """Of the padded unit; what is stored ends with the unit itself."""

    sample_rate: int
    """Hz."""

    description: str
    """One line for whoever opens the file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one unit's waveform, padding included."""
        return (self.num_channels, self.num_samples)

    @property
    def dtype(self) -> str:
        """Numpy name of the samples as a worker gives them."""
        return "float32"
