"""A metric's value for one pair of clips, or why it has none."""

import math
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

Undefined: TypeAlias = Literal[
    "silent_reference", "silent_degraded", "too_short", "no_utterance", "nonfinite", "no_text", "crash"
]
Status: TypeAlias = Literal["ok"] | Undefined
"""
| status | the metric has no value, because |
| --- | --- |
| `ok` | it has one |
| `silent_reference` | it divides by the reference, which holds nothing but zeros (correlation: does not vary) |
| `silent_degraded` | the same of the degraded clip |
| `too_short` | the clips hold less than the metric's least excerpt |
| `no_utterance` | PESQ found no speech in the reference |
| `nonfinite` | a sample is NaN or infinite, or too large to be squared |
| `no_text` | there is nothing that the clip should sound like |
| `crash` | the library that computes it failed or killed its process on this pair |
"""


@dataclass(frozen=True, slots=True)
class Score:
    """What a metric says of one pair."""

    value: float | None
    """In the metric's unit, infinite where the definition says so, never NaN; None where it is undefined."""

    status: Status
    """Why there is no value; `ok` if and only if there is one."""

    def __post_init__(self) -> None:
        if (self.value is None) == (self.status == "ok"):
            raise ValueError(f"value {self.value} with status {self.status!r}: there is a value exactly where it is ok")
        if self.value is not None and math.isnan(self.value):
            raise ValueError("NaN is no value: give None and the status nonfinite")

    @classmethod
    def of(cls, value: float) -> Self:
        """The score of a computed value; NaN, which no definition gives, counts as `nonfinite`."""
        return cls(None, "nonfinite") if math.isnan(value) else cls(float(value), "ok")

    @classmethod
    def undefined(cls, status: Undefined) -> Self:
        """The score where there is no value."""
        return cls(None, status)
