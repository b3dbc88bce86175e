"""What a cluster of our own is started with."""

import os
from typing import Any

import pytest
import ray

from pipeline.cluster import Resources, ray_cluster


@pytest.mark.parametrize("asked", [None, "1"])
def test_nothing_is_reported_to_rays_makers_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str | None
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    if asked is not None:
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", asked)
    seen: list[str | None] = []

    def init(**_: Any) -> None:
        seen.append(os.environ.get("RAY_USAGE_STATS_ENABLED"))

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with ray_cluster(Resources(cpus=2, gpus=0)):
        pass
    assert seen == [asked or "0"]
