"""What is chosen when the spec leaves it open, and what cannot be had."""

from typing import Any

import pytest

from pipeline.placement import Placement, resolve_placement
from pipeline.placement_spec import ActorPool, PlacementSpec

JOB = {"num_units": 2000, "unit_bytes": 655_360, "stored_bytes": 131_072}


def place(*, cpus: float = 2, gpus: float = 0, **given: Any) -> Placement:
    job = {name: given.pop(name, default) for name, default in JOB.items()}
    return resolve_placement(PlacementSpec(**given), cpus=cpus, gpus=gpus, microbatch=8, **job)


def used_cpus(placement: Placement) -> float:
    return placement.cpus_per_actor * placement.max_actors + placement.decode_cpus * placement.decode_tasks


def test_two_cores_and_nothing_said() -> None:
    placement = place()
    assert (placement.actors, placement.threads_per_actor, placement.decode_tasks) == (2, 1, 2)
    assert used_cpus(placement) <= 2


def test_eight_gpus_and_nothing_said() -> None:
    placement = place(cpus=96, gpus=8)
    assert (placement.actors, placement.gpus_per_actor) == (8, 1)
    assert 64 <= placement.decode_tasks <= 96
    assert used_cpus(placement) <= 96


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8, 16, 64])
@pytest.mark.parametrize("actors", [None, 1, 3])
def test_everything_fits_and_the_stages_stay_apart(cpus: float, actors: int | None) -> None:
    placement = place(cpus=cpus, actors=actors)
    assert used_cpus(placement) <= cpus
    assert placement.decode_tasks >= 1
    assert placement.decode_cpus != placement.cpus_per_actor


def test_cpu_machines_run_an_actor_per_core_up_to_a_bound() -> None:
    assert (place(cpus=8).actors, place(cpus=8).threads_per_actor) == (8, 1)
    assert (place(cpus=64).actors, place(cpus=64).threads_per_actor) == (16, 4)
    assert place(cpus=64, num_units=20).actors == 2


def test_blocks_are_bounded_in_bytes_and_whole_microbatches() -> None:
    assert place(unit_bytes=655_360).units_per_block == 96
    assert place(unit_bytes=1000).units_per_block == 248
    assert place(unit_bytes=1000, num_units=10_000_000).units_per_block == 1024
    assert place(unit_bytes=100 << 20).units_per_block == 1
    assert place(num_units=20).units_per_block == 8


def test_large_jobs_gather_blocks_into_files() -> None:
    assert place(num_units=1_000).units_per_file == place().units_per_block
    assert place(num_units=10_000).units_per_file == 156
    assert place(num_units=10_000_000).units_per_file == 256
    assert place(num_units=10_000_000, stored_bytes=2560).units_per_file == 4096
    assert place(units_per_block=100, units_per_file=10).units_per_file == 100


def test_what_is_said_is_kept() -> None:
    placement = place(cpus=8, actors={"min": 1, "max": 3}, threads_per_actor=5, decode_tasks=2, units_per_block=7)
    assert placement.actors == ActorPool(min=1, max=3)
    assert (placement.threads_per_actor, placement.decode_tasks, placement.units_per_block) == (5, 2, 7)
    assert "1-3 model actor(s) with 5 CPU threads each" in placement.describe()


def test_what_cannot_be_had_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gpus_per_actor is 1 but there are 0 GPUs; set device: cpu"):
        place(gpus_per_actor=1)
    with pytest.raises(ValueError, match=r"4 actors with 0.5 GPU each but there are 1 GPUs"):
        place(gpus=1, gpus_per_actor=0.5, actors=4, cpus=16)
    with pytest.raises(ValueError, match=r"gpus_per_actor is 0 but the job's device is cuda; set device: cpu"):
        place(gpus=1, gpus_per_actor=0, cpus=16)
    with pytest.raises(ValueError, match=r"5000 actors with 0 CPUs each, which leaves no room"):
        place(actors=5000)
    with pytest.raises(ValueError, match=r"Ray has 0 CPUs for tasks; start a node"):
        place(cpus=0)
    with pytest.raises(ValueError, match=r"2 actors with 1 CPUs each, which leaves no room to decode on 2 CPUs"):
        place(actors=2, cpus_per_actor=1)
