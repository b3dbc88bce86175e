from pathlib import Path

import pytest

from jobs.log_place import log_file


def test_a_log_lies_in_its_store_or_for_a_uri_in_the_users_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert log_file("/data/latents").parent == Path("/data/latents/logs")
    assert log_file("s3://bucket/my latents").parent == tmp_path / "latentmill" / "logs" / "s3-bucket-my-latents"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert log_file("gs://b/x").parent == Path("/home/somebody/.local/state/latentmill/logs/gs-b-x")
