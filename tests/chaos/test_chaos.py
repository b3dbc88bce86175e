"""A short round of chaos; `make chaos` runs a hundred."""

from pathlib import Path

from tests.chaos.cluster import raylet_cluster
from tests.chaos.rounds import FAULTS, Chaos


def test_whatever_is_killed_the_store_is_as_if_nothing_had_been(tmp_path: Path) -> None:
    with raylet_cluster() as cluster:
        assert cluster.num_raylets == 3
        done = list(Chaos(cluster, tmp_path, seed=1, kinds=("encode",)).rounds(len(FAULTS)))
    assert [result.fault for result in done] == list(FAULTS)
    for result in done:
        assert result.sound, result
