"""What a claim says of its holder."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.holder import Holder, command_line


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["/usr/bin/latentmill", "run", "my job.yaml"], "latentmill run 'my job.yaml'"),
        (["latentmill", "--set=output=s3://key:secret@bucket/a"], "latentmill --set=output=s3://…bucket/a"),
        (["latentmill", "--set=output=s3://key:x/secret+y/z@bucket/a"], "latentmill --set=output=s3://…bucket/a"),
        (
            ["latentmill", "--set=source.path=https://host/a?sig=secret"],
            "latentmill '--set=source.path=https://host/a?…",
        ),
        ([], "''"),
    ],
)
def test_commands_are_told_without_secrets(given: list[str], told: str) -> None:
    assert command_line(given).startswith(told)
    assert "secret" not in command_line(given)


def test_a_holder_of_another_boot_or_container_cannot_be_seen() -> None:
    mine = Holder.this_process()
    assert mine.lives() is True
    assert mine.model_copy(update={"process_space": "other"}).lives() is None
    assert mine.model_copy(update={"pid": 2**22 + 1}).lives() is False


def test_a_process_that_proc_hides_is_left_to_its_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, read_text = Holder.this_process(), Path.read_text

    def hidden(path: Path, *options: Any) -> str:
        if path.name == "stat":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return read_text(path, *options)

    def refuse(pid: int, number: int) -> None:
        assert (pid, number) == (mine.pid, 0)
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "read_text", hidden)
    assert mine.lives() is None
    for pid in (2**22 + 1, 2**70):
        assert mine.model_copy(update={"pid": pid}).lives() is False
    monkeypatch.setattr(os, "kill", refuse)
    assert mine.lives() is None
    assert Holder.this_process().process_started is None


def test_a_refreshed_holder_is_the_same_one() -> None:
    mine = Holder.this_process()
    later = mine.refresh()
    assert later.refreshed >= mine.refreshed
    assert later.model_copy(update={"refreshed": mine.refreshed}) == mine
    assert abs(later.silent_seconds()) < 60
