"""A short round of chaos; `make chaos` runs a hundred."""

from pathlib import Path

import pytest

from tests.chaos.cluster import raylet_cluster
from tests.chaos.rounds import FAULTS, Chaos

QUICK = ("raylet",)
"""The harshest; a killed driver is in the quick matrix too."""


def check(folder: Path, faults: tuple[str, ...]) -> None:
    with raylet_cluster() as cluster:
        assert cluster.num_raylets == 3
        done = list(Chaos(cluster, folder, seed=1, faults=faults, kinds=("encode",)).rounds(len(faults)))
    assert [result.fault for result in done] == list(faults)
    for result in done:
        assert result.sound, result


def test_whatever_is_killed_the_store_is_as_if_nothing_had_been(tmp_path: Path) -> None:
    check(tmp_path, QUICK)


@pytest.mark.slow
def test_every_fault(tmp_path: Path) -> None:
    check(tmp_path, FAULTS)
