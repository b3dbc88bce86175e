"""The Ray cluster that a job runs on: the one it is pointed to, or one of its own on this machine."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LOOPBACK = "127.0.0.1"
IDLE_WORKER_SECONDS = 60
"""How long a process waits for its next task before Ray ends it. Ray's own second is over between two decode or write
tasks wherever the model takes longer than that, and no process is spared where actors alone are as many as cores: each
task then began in a new process, and each decoder with a new guarded child, 1 to 2 s of a core before any work. No more
processes wait than ran at once before."""
CONNECT_SECONDS = 5.0
NVIDIA_DEVICES = ("/dev/nvidiactl", "/dev/dxg")
"""Device files of the NVIDIA driver, on Linux and on Linux under Windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What there is to place work on."""

    cpus: float
    gpus: float


def find_resources() -> Resources:
    """The machine's, or those of the cluster that this process is connected or pointed (RAY_ADDRESS) to."""
    if "RAY_ADDRESS" in os.environ:
        import ray

        if not ray.is_initialized():
            _connect()
        return _cluster_resources()
    import sys

    if "ray" in sys.modules:
        import ray

        if ray.is_initialized():
            return _cluster_resources()
    return Resources(cpus=float(len(os.sched_getaffinity(0))), gpus=float(_count_gpus()))


@contextmanager
def ray_cluster(resources: Resources) -> Iterator[None]:
    """Ray for one job: a running one is used and left alone, otherwise a local one is started and ended.

    A local cluster listens on the loopback interface only and starts no dashboard.
    """
    import ray

    if ray.is_initialized():
        with tolerant_ray_data():
            yield
        return
    try:
        _start(resources)
        with tolerant_ray_data():
            yield
    finally:
        with _own_sigterm():
            ray.shutdown()


def _start(resources: Resources) -> None:
    import ray

    if "RAY_ADDRESS" in os.environ:
        _connect()
    else:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers of every run
        os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", str(1000 * IDLE_WORKER_SECONDS))
        with _own_sigterm():
            ray.init(
                address="local",
                num_cpus=int(resources.cpus),
                num_gpus=int(resources.gpus),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
                _node_ip_address=LOOPBACK,
            )


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keeps this process's SIGTERM handler: Ray installs one that exits without letting the job say where it is, and
    when it ends it leaves none, though Python still believes in its own.

    A SIGTERM that reaches Ray's while it starts ends in its way, with a SystemExit, which is taken for an interrupt.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as error:
        if error.code == signal.SIGTERM:
            raise KeyboardInterrupt from error
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _count_gpus() -> int:
    """GPUs that torch can use; importing torch takes seconds, so only where there is an NVIDIA driver at all."""
    if not any(os.path.exists(device) for device in NVIDIA_DEVICES):
        return 0
    import torch

    return torch.cuda.device_count()


def _connect() -> None:
    import ray

    address = os.environ["RAY_ADDRESS"]
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            raise ValueError(
                f"RAY_ADDRESS is {address}, where nothing answers ({error}); start Ray or unset it"
            ) from error
    with _own_sigterm():
        ray.init(log_to_driver=False, logging_level=logging.WARNING)


def _cluster_resources() -> Resources:
    import ray

    found = ray.cluster_resources()
    return Resources(cpus=found.get("CPU", 0.0), gpus=found.get("GPU", 0.0))


@contextmanager
def tolerant_ray_data() -> Iterator[None]:
    """Lets passes go on past blocks that fail, since the pass loop comes back to their units; then as it was before."""
    import ray.data

    context = ray.data.DataContext.get_current()
    before = context.enable_progress_bars, context.max_errored_blocks
    context.enable_progress_bars, context.max_errored_blocks = False, -1
    try:
        with _actors_end_with_their_pass():
            yield
    finally:
        context.enable_progress_bars, context.max_errored_blocks = before


@contextmanager
def _actors_end_with_their_pass() -> Iterator[None]:
    """Has actors killed that Ray Data has no more work for.

    Ray Data drops its handles on them and leaves the rest to reference counting. An actor that is just being restarted,
    because a unit killed it, survives that (seen with Ray 2.60) and keeps its CPUs: the next pass waits for them for
    ever. Nobody needs an old actor to make a result again that a node lost: the pass loop comes back to its units.
    """
    import ray
    from ray.data._internal.execution.operators.actor_pool_map_operator import _ActorPool

    release = _ActorPool._release_running_actor

    def release_and_kill(pool: Any, actor: Any) -> None:
        release(pool, actor)
        ray.kill(actor)

    _ActorPool._release_running_actor = release_and_kill
    try:
        yield
    finally:
        _ActorPool._release_running_actor = release
