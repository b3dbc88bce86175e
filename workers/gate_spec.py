"""Settings of what a sound must be like, and of which of several is kept."""

from typing import Literal, Self

from pydantic import Field, model_validator

from workers.spec import Spec

VERDICTS = ("accepted", "too_quiet", "too_silent", "clipped", "off_prompt")
Score = Literal["clap", "loudness_lufs", "silence_fraction", "clipped_fraction"]
LOWER_IS_BETTER: frozenset[Score] = frozenset({"silence_fraction", "clipped_fraction"})


class GateSpec(Spec):
    """What a sound must be like to be accepted; one that is not is stored all the same, and its `verdict` says why."""

    min_loudness_lufs: float | None = Field(default=None, ge=-70, le=0)
    """At least this loud, integrated over the clip; a quieter one is `too_quiet`."""

    max_silence: float | None = Field(default=None, ge=0, le=1)
    """At most this much of it is silence; more is `too_silent`."""

    max_clipped: float | None = Field(default=None, ge=0, le=1)
    """At most this much of its samples are beyond full scale; more is `clipped`."""

    min_clap: float | None = Field(default=None, ge=-1, le=1)
    """At least this near to its text for the job's `clap` model; a clip that is further off is `off_prompt`."""

    best_of: int | None = Field(default=None, ge=2, le=64)
    """How many sounds are made for each clip, of which one is kept: an accepted one if there is any, and the best of
    those by `best_by`. The first is the one that there would be without."""

    best_by: Score | None = None
    """Column that says which is best: the highest `clap` or `loudness_lufs`, the lowest `silence_fraction` or
    `clipped_fraction`."""

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        if (self.best_of is None) != (self.best_by is None):
            raise ValueError("best_of and best_by belong together: set both or neither")
        return self

    @property
    def needs_clap(self) -> bool:
        """Whether a model has to hear the clips."""
        return self.min_clap is not None or self.best_by == "clap"
