"""What became of one item that a guarded child was given."""

import signal
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from workers.guarded.limits import GuardLimits

OUT_OF_MEMORY = 77
"""Exit code of a child whose item asked for more memory than it may have."""


@dataclass(frozen=True, slots=True)
class Value:
    """What the function gave."""

    value: Any


@dataclass(frozen=True, slots=True)
class Placed:
    """The function gave an array. It stands at the start of the item's row, if it fits into it."""

    shape: tuple[int, ...]
    fits: bool


@dataclass(frozen=True, slots=True)
class Raised:
    """The function gave, or raised, an exception: class name and words, in one line."""

    error_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Died:
    """The child did not live to give a result, twice, the second time with this item alone in a new child."""

    kind: Literal["crash", "timeout"]
    error_type: str
    """`MemoryError` where the memory limit was reached, else as `kind`."""
    reason: str
    """To stand behind what was being done: "takes longer than 120 s"."""
    killed_from_outside: bool = False
    """By SIGKILL: the kernel out of memory, or a person; the item may be innocent."""


Outcome: TypeAlias = Value | Placed | Raised | Died


def cause_of_death(exit_code: int, limits: GuardLimits) -> Died:
    """Reads the exit code of a child, negative where a signal killed it."""
    if exit_code == -signal.SIGALRM:
        return out_of_time(limits)
    if exit_code == OUT_OF_MEMORY:
        return Died("crash", "MemoryError", f"needs more than {limits.memory_gib:g} GiB of memory")
    if exit_code >= 0:
        return Died("crash", "crash", f"ends its process with exit code {exit_code}")
    number = -exit_code
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        reason = "had its process killed by SIGKILL, as the kernel does where memory is short"
    else:
        reason = f"kills its process by {name} ({signal.strsignal(number) or 'unknown'})"
    return Died("crash", "crash", reason, killed_from_outside=number == signal.SIGKILL)


def out_of_time(limits: GuardLimits) -> Died:
    """The verdict on an item that took too long."""
    return Died("timeout", "timeout", f"takes longer than {limits.seconds:g} s")
