"""What a job puts up with: how much one unit may cost, and how many may fail."""

from pydantic import Field

from workers.guarded.limits import GuardLimits
from workers.spec import Spec


class LimitSpec(Spec):
    """The limits of one unit, and the failure budget: a job that exceeds that still finishes, and exits with code 3."""

    max_failed_fraction: float = Field(default=0.05, ge=0, le=1)
    """Largest share of the plan's units that may be quarantined."""

    max_failed: int | None = Field(default=None, ge=0)
    """Largest number of them; no such limit when unset."""

    decode_seconds: float = Field(default=120.0, gt=0, le=86_400)
    """Longest time that decoding one unit, or reading the header of one file, may take. A unit that takes longer twice
    is quarantined as `timeout`."""

    decode_memory_gib: float = Field(default=4.0, ge=0.05, le=4096)
    """Most memory that decoding one unit may take; one that needs more is quarantined as `crash`. Enforced on Linux,
    without effect elsewhere."""

    def exceeded_by(self, num_failed: int, num_units: int) -> bool:
        """Whether so many failures are too many."""
        if self.max_failed is not None and num_failed > self.max_failed:
            return True
        return num_failed > self.max_failed_fraction * num_units

    @property
    def of_decoding(self) -> GuardLimits:
        """The limits of one unit."""
        return GuardLimits(seconds=self.decode_seconds, memory_gib=self.decode_memory_gib)
