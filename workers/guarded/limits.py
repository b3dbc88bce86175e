"""What one item may cost in a guarded child."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """Where the guard steps in."""

    seconds: float = 120.0
    """Longest time for one item; opening its file counts towards the first of them."""

    memory_gib: float = 4.0
    """Most memory that the child may take beyond what it has when it starts; enforced by the kernel on Linux, not
    elsewhere."""
