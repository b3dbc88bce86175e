"""What a cluster of our own is started with."""

import os
import subprocess
import sys
from typing import Any

import pytest
import ray

from pipeline.cluster import Resources, ray_cluster

TWO_TASKS = """
import os, time, ray
from pipeline.cluster import Resources, ray_cluster

@ray.remote(num_cpus=0.5)
class Actor:
    def ready(self):
        return os.getpid()

@ray.remote(num_cpus=0.5)
def task():
    return os.getpid()

with ray_cluster(Resources(cpus=1, gpus=0)):
    actor = Actor.remote()  # with it there are as many processes as cores, and Ray would let no other wait
    ray.get(actor.ready.remote())
    first = ray.get(task.remote())
    time.sleep(5)
    print(first == ray.get(task.remote()))
"""


@pytest.mark.parametrize(
    ("name", "ours"),
    [("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_idle_worker_killing_time_threshold_ms", "60000")],
    ids=["nothing is reported to Ray's makers", "a process waits for its next task"],
)
@pytest.mark.parametrize("asked", [None, "1"])
def test_what_ray_is_told_unless_something_else_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, name: str, ours: str, asked: str | None
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(name, "")  # so that it is put back
    monkeypatch.delenv(name)
    if asked is not None:
        monkeypatch.setenv(name, asked)
    seen: list[str | None] = []

    def init(**_: Any) -> None:
        seen.append(os.environ.get(name))

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with ray_cluster(Resources(cpus=2, gpus=0)):
        pass
    assert seen == [asked or ours]


@pytest.mark.slow
def test_a_task_seconds_after_another_has_the_same_process() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", TWO_TASKS], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.split() == ["True"], done.stderr
