"""A Ray cluster of several raylets on this machine, and its processes by what they are doing.

    head      GCS and a raylet without CPUs: nothing of a job runs there, so that it is never the one that is killed
    node 1    a raylet with CPUs, whose children are decode workers, model actors, writers
    node 2    another one

Only processes that one of this cluster's raylets started are ever looked at or killed: other Rays may run beside it.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
OBJECT_STORE_BYTES = 150 << 20
TITLES = {"decode": "ray::MapBatches(decode", "actor": "ray::MapWorker(MapBatches(ModelStage"}
"""How Ray titles a worker process while it runs a task of a stage."""


class RayletCluster:
    """A head and some worker nodes, each a raylet of its own."""

    def __init__(self, num_nodes: int = 2, cpus_per_node: int = 2) -> None:
        from ray.cluster_utils import Cluster

        self._cpus_per_node = cpus_per_node
        self._cluster = Cluster(initialize_head=True, head_node_args=self._node_options(num_cpus=0))
        self._nodes: list[Any] = []
        for _ in range(num_nodes):
            self.add_node()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to find this cluster and to stay on the loopback interface.

        Ray would take 127.0.0.1 for the machine's address on its network, where nothing of this cluster listens.
        """
        return {"RAY_ADDRESS": str(self._cluster.address), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

    @property
    def num_raylets(self) -> int:
        """Raylets, the head's counted."""
        return 1 + len(self._nodes)

    def add_node(self) -> None:
        """Starts a raylet with CPUs and waits until the cluster knows it."""
        self._nodes.append(self._cluster.add_node(**self._node_options(num_cpus=self._cpus_per_node)))

    def kill_raylet(self, which: int) -> int:
        """Takes one of the worker nodes away at once, as a machine does that loses power; gives the raylet's pid."""
        node = self._nodes.pop(which % len(self._nodes))
        pid = _raylet_pid(node)
        workers = [child for child in children_of({pid})]
        os.kill(pid, signal.SIGKILL)
        for worker, _ in workers:  # a machine takes its processes with it
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)
        return pid

    def workers(self, what: str) -> list[int]:
        """Process ids of the workers that are at a stage's task right now.

        Args:
            what: `decode` or `actor`.
        """
        raylets = {_raylet_pid(node) for node in self._nodes}
        return sorted(pid for pid, title in children_of(raylets) if title.startswith(TITLES[what]))

    def shutdown(self) -> None:
        """Ends all of it."""
        self._cluster.shutdown()

    def _node_options(self, *, num_cpus: int) -> dict[str, Any]:
        return {
            "num_cpus": num_cpus,
            "node_ip_address": LOOPBACK,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }


@contextmanager
def raylet_cluster(num_nodes: int = 2, cpus_per_node: int = 2) -> Iterator[RayletCluster]:
    """A cluster for as long as the block runs."""
    cluster = RayletCluster(num_nodes, cpus_per_node)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def children_of(parents: set[int]) -> list[tuple[int, str]]:
    """Direct children of some processes, each with its title."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) in parents and state != "Z":
                title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append((int(folder.name), title))
    return found


def kill(pid: int) -> bool:
    """Kills a process at once; gives whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pids: set[int], seconds: float = 30.0) -> set[int]:
    """Those of the processes that are still there after at most so long."""
    limit = time.monotonic() + seconds
    while (left := {pid for pid in pids if _is_there(pid)}) and time.monotonic() < limit:
        time.sleep(0.05)
    return left


def _is_there(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _raylet_pid(node: Any) -> int:
    (raylet,) = node.all_processes["raylet"]
    return int(raylet.process.pid)
