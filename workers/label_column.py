"""One of a few words that a worker gives for each unit, said before it runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelColumn:
    """One label per unit. Workers give it as int8 [n], places in `labels`; the store keeps the words."""

    name: str
    """Column name in the store."""

    labels: tuple[str, ...]

    description: str
    """One line for whoever opens the file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one unit's value."""
        return ()

    @property
    def dtype(self) -> str:
        """Numpy name of the places."""
        return "int8"
