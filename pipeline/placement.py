"""From what a machine has to how a job runs on it."""

import math
from dataclasses import dataclass

from pipeline.placement_spec import ActorPool, PlacementSpec

MAX_CPU_ACTORS = 16
"""On CPUs, one actor per core with one thread, so that no thread waits for another. Beyond this many, each has
several cores: every actor keeps a model in memory."""
CPU_MODEL_SHARE = 0.5
CPU_DECODE_SHARE = 0.45
"""How Ray's books divide the cores between models and decoding on a machine without GPUs. In truth both run whenever
they have work, and the operating system shares the cores."""
GPU_DECODE_CPUS = 0.9
BLOCK_BYTES = 64 << 20
"""Decoded bytes in a block: below Ray's 128 MiB split, and enough to hide the cost of moving it. Half as many cost an
evaluation of pairs of 5 s, 25 ms of a core each, 2 to 4 ms more per pair on a busy machine."""
MAX_UNITS_PER_BLOCK = 1024
"""Of units so short (a second at 16 kHz) that BLOCK_BYTES does not bound them. A block costs Ray some 40 ms of
processor time, in all its processes together: 0.04 ms for each of so many units. And they are no more audio, so no more
work for the model, than a block of longer ones."""
FILE_BYTES = 32 << 20
MAX_UNITS_PER_FILE = 4096
FILES_PER_STORE = 64
"""Blocks are gathered into files of about FILE_BYTES, but never into fewer than so many: a kill costs one at most."""
WRITE_CPUS = 0.05
CORES_PER_WRITER = 4
"""Write tasks at once: one puts some hundred MB/s on the disk, digests and all, which is far above what comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A placement with every number decided."""

    actors: int | ActorPool
    cpus_per_actor: float
    gpus_per_actor: float
    threads_per_actor: int
    decode_cpus: float
    """Logical CPUs of one decode task. Never equal to an actor's, or Ray Data would fuse the two stages and decode
    serially inside the model actor."""
    decode_tasks: int
    write_tasks: int
    units_per_block: int
    units_per_file: int

    @property
    def max_actors(self) -> int:
        """Actors at most."""
        return self.actors.max if isinstance(self.actors, ActorPool) else self.actors

    def describe(self) -> str:
        """One line for the person who started the job."""
        pool = f"{self.actors.min}-{self.actors.max}" if isinstance(self.actors, ActorPool) else str(self.actors)
        device = f"{self.gpus_per_actor:g} GPU" if self.gpus_per_actor else f"{self.threads_per_actor} CPU threads"
        return (
            f"{pool} model actor(s) with {device} each, up to {self.decode_tasks} decode task(s),"
            f" blocks of {self.units_per_block} units"
        )


def resolve_placement(
    spec: PlacementSpec,
    *,
    cpus: float,
    gpus: float,
    num_units: int,
    unit_bytes: int,
    stored_bytes: int,
    microbatch: int,
) -> Placement:
    """Decides what `spec` leaves open.

    Args:
        spec: what the user asked for.
        cpus: logical CPUs of the machine or cluster.
        gpus: its GPUs.
        num_units: units of the job.
        unit_bytes: decoded bytes of the largest unit.
        stored_bytes: bytes of its tensors.
        microbatch: rows that the model sees at once; automatic blocks are a multiple of it.

    Raises:
        ValueError: more is asked for than there is.
    """
    if cpus < 1:
        raise ValueError(f"Ray has {cpus:g} CPUs for tasks; start a node with some, such as a worker of the cluster")
    gpus_per_actor = spec.gpus_per_actor if spec.gpus_per_actor is not None else float(gpus >= 1)
    if gpus >= 1 and gpus_per_actor == 0:
        raise ValueError("placement.gpus_per_actor is 0 but the job's device is cuda; set device: cpu to use CPUs")
    if gpus_per_actor > gpus:
        raise ValueError(
            f"placement.gpus_per_actor is {gpus_per_actor:g} but there are {gpus:g} GPUs; set device: cpu to use CPUs"
        )
    if spec.actors is not None:
        actors: int | ActorPool = spec.actors
    else:
        machine = int(gpus / gpus_per_actor) if gpus_per_actor else min(int(cpus), MAX_CPU_ACTORS)
        actors = max(1, min(machine, num_units // microbatch))
    most, fewest = (actors.max, actors.min) if isinstance(actors, ActorPool) else (actors, actors)
    if gpus_per_actor * fewest > gpus:
        raise ValueError(
            f"placement asks for {fewest} actors with {gpus_per_actor:g} GPU each but there are {gpus:g} GPUs;"
            " ask for fewer actors or a fraction of a GPU"
        )
    share = CPU_MODEL_SHARE if not gpus_per_actor else 1 - (GPU_DECODE_CPUS + WRITE_CPUS) / cpus
    cpus_per_actor = spec.cpus_per_actor or min(1.0, math.floor(share * cpus / fewest * 1000) / 1000)
    left = cpus - cpus_per_actor * fewest - WRITE_CPUS
    decode_cpus = GPU_DECODE_CPUS if gpus_per_actor else CPU_DECODE_SHARE
    decode_cpus -= 0.05 * (cpus_per_actor == decode_cpus)
    if cpus_per_actor <= 0 or left < decode_cpus:
        raise ValueError(
            f"placement asks for {fewest} actors with {cpus_per_actor:g} CPUs each, which leaves no room to decode"
            f" on {cpus:g} CPUs; ask for fewer, or leave cpus_per_actor out"
        )
    threads = spec.threads_per_actor or max(1, int(cpus) // most)
    by_bytes = max(1, BLOCK_BYTES // max(1, unit_bytes))
    block = min(MAX_UNITS_PER_BLOCK, by_bytes, max(microbatch, -(-num_units // (4 * most))))
    block = max(block // microbatch * microbatch, min(microbatch, by_bytes))
    units_per_block = spec.units_per_block or block
    by_share = min(MAX_UNITS_PER_FILE, FILE_BYTES // max(1, stored_bytes), num_units // FILES_PER_STORE)
    return Placement(
        actors=actors,
        cpus_per_actor=cpus_per_actor,
        gpus_per_actor=gpus_per_actor,
        threads_per_actor=threads,
        decode_cpus=decode_cpus,
        decode_tasks=spec.decode_tasks or min(int(cpus), int(left / decode_cpus)),
        write_tasks=max(1, int(cpus) // CORES_PER_WRITER),
        units_per_block=units_per_block,
        units_per_file=max(spec.units_per_file or by_share, units_per_block),
    )
