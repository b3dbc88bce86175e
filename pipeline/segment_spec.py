"""How long recordings are cut into units."""

from typing import Literal, Self

from pydantic import Field, model_validator

from workers.spec import Spec


class SegmentSpec(Spec):
    """Fixed-length windows over each file; a file shorter than one window is one padded unit."""

    length_seconds: float = Field(default=10.24, gt=0, le=3600)
    """Length of a unit in seconds."""

    hop_seconds: float | None = Field(default=None, gt=0, le=3600)
    """Distance between the starts of two units; the length when unset. Smaller makes them overlap."""

    tail: Literal["pad", "drop", "keep"] = "pad"
    """What happens to the last, shorter window of a file: padded with silence, dropped (never a file's only one), or
    kept at its own length, padded just to the next multiple of `bucket_seconds`."""

    bucket_seconds: float | None = Field(default=None, gt=0)
    """Step of the lengths that `tail: keep` makes; an eighth of the length when unset."""

    max_segments: int | None = Field(default=None, ge=1)
    """Take at most this many units of each file, from its start."""

    @model_validator(mode="after")
    def _bucket_goes_with_keep(self) -> Self:
        if self.bucket_seconds is not None and self.tail != "keep":
            raise ValueError(f"bucket_seconds is {self.bucket_seconds} but tail is {self.tail!r}; set tail: keep")
        if self.bucket_seconds is not None and self.bucket_seconds > self.length_seconds:
            raise ValueError(
                f"bucket_seconds {self.bucket_seconds} exceeds length_seconds {self.length_seconds}; make it smaller"
            )
        return self
