"""What a claim says of its holder."""

import pytest

from pipeline.holder import Holder, command_line


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["/usr/bin/latentmill", "run", "my job.yaml"], "latentmill run 'my job.yaml'"),
        (["latentmill", "--set=output=s3://key:secret@bucket/a"], "latentmill --set=output=s3://…bucket/a"),
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


def test_a_refreshed_holder_is_the_same_one() -> None:
    mine = Holder.this_process()
    later = mine.refresh()
    assert later.refreshed >= mine.refreshed
    assert later.model_copy(update={"refreshed": mine.refreshed}) == mine
    assert abs(later.silent_seconds()) < 60
