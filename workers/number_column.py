"""A number that a worker gives for each unit, said before it runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberColumn:
    """One float64 per unit. Workers give it as float64 [n], NaN where it is undefined; the store keeps null there."""

    name: str
    """Column name in the store."""

    description: str
    """One line for whoever opens the file."""

    unit: str = ""
    """Physical unit; empty where there is none."""

    is_content: bool = True
    """Whether the same spec gives the same number again. One that tells of the run, such as a time, is in no digest."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one unit's value."""
        return ()

    @property
    def dtype(self) -> str:
        """Numpy name."""
        return "float64"
