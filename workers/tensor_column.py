"""What a worker gives for each unit, said before it runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorColumn:
    """One tensor per unit, as it will be stored."""

    name: str
    """Column name in the store."""

    shape: tuple[int, ...]
    """Shape of one unit's tensor."""

    dtype: str
    """Numpy name of the stored dtype, such as `float16`."""

    description: str
    """One line for whoever opens the file."""

    channel_axis: int = 0
    """Axis whose entries have statistics of their own; negative where leading axes may be missing."""

    unit: str = ""
    """Physical unit of the values; empty where they have none."""

    steps_per_second: float | None = None
    """Entries of the last axis in a second, where what is stored ends with the unit itself: `shape` is that of the
    padded unit then, and lengths must be allowed to vary."""

    may_be_undefined: bool = False
    """Whether a unit may have none, all NaN then, with a column `<name>_status` that says why."""
