"""Where a job runs; nothing here changes what is stored."""

from typing import Self

from pydantic import Field, model_validator

from workers.spec import Spec


class ActorPool(Spec):
    """A pool of model actors that grows and shrinks with the cluster."""

    min: int = Field(ge=1)
    """Actors to start with."""

    max: int = Field(ge=1)
    """Actors at most."""

    @model_validator(mode="after")
    def _min_below_max(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} exceeds max {self.max}; swap them")
        return self


class PlacementSpec(Spec):
    """Everything unset is chosen from the machine, and the choice is printed."""

    actors: int | ActorPool | None = None
    """Model actors: a number of at least 1, or `{min, max}`. When unset, one per GPU; on CPUs one
    per core, up to 16."""

    cpus_per_actor: float | None = Field(default=None, gt=0)
    """Logical CPUs that Ray reserves for each actor."""

    gpus_per_actor: float | None = Field(default=None, ge=0)
    """GPUs, or a fraction of one, for each actor; to keep the model on the CPU, set `device: cpu`."""

    threads_per_actor: int | None = Field(default=None, ge=1)
    """Threads that torch uses in each actor."""

    decode_tasks: int | None = Field(default=None, ge=1)
    """Decode tasks that run at once, at most."""

    units_per_block: int | None = Field(default=None, ge=1, le=65536)
    """Units that travel together; also what a crash can cost at most for one worker."""

    units_per_file: int | None = Field(default=None, ge=1)
    """Units that are gathered into one Parquet file before it is committed."""

    @model_validator(mode="after")
    def _at_least_one_actor(self) -> Self:
        if isinstance(self.actors, int) and self.actors < 1:
            raise ValueError(f"actors is {self.actors}; give 1 or more, or leave it out")
        return self
