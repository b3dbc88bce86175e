"""Settings of Griffin-Lim."""

from typing import Annotated, Literal

from pydantic import Field

from workers.spec import Spec


class GriffinLimSpec(Spec):
    """How phases are found for magnitudes."""

    num_iterations: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Rounds of Griffin-Lim after the start. From `phase_gradient`, 4 beat 32 rounds from `random`."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Weight of the last change: 0 is Griffin and Lim's method, 0.99 Perraudin's fast one."""

    start: Literal["phase_gradient", "random"] = "phase_gradient"
    """Phases to start from: integrated from the magnitudes, or drawn from each unit's seed."""
