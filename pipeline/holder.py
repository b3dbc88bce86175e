"""Who holds a store, and whether that process still lives."""

import getpass
import os
import re
import secrets
import shlex
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from workers.spec import Spec

_SECRETS = re.compile(r"(?<=://)\S+@|(?<=\?)\S+")  # user:pass/word@ of a URI, and what stands behind its ?


class Holder(Spec):
    """One process that may write to a store."""

    token: str
    """Random, so that two claims are never taken for each other."""

    host: str
    """Its machine's name."""

    process_space: str
    """Boot of the machine and process namespace: where this is equal, a process id means the same process."""

    pid: int

    process_started: int | None
    """Clock ticks from boot to the start of the process, which tell it from a later one with its number."""

    user: str

    command: str
    """What it was started with, without secrets."""

    since: datetime

    refreshed: datetime
    """When it last said that it lives, by its own clock."""

    @classmethod
    def this_process(cls) -> Self:
        """A new holder for the process that asks."""
        now, pid = datetime.now(UTC), os.getpid()
        started = None
        with suppress(OSError):
            started = _process_started(pid)
        return cls(
            token=secrets.token_hex(16),
            host=socket.gethostname(),
            process_space=_process_space(),
            pid=pid,
            process_started=started,
            user=_user(),
            command=command_line(sys.argv),
            since=now,
            refreshed=now,
        )

    def refresh(self) -> Self:
        """The same holder, alive now."""
        return self.model_copy(update={"refreshed": datetime.now(UTC)})

    def lives(self) -> bool | None:
        """Whether its process is there; None where that cannot be seen: from another machine, or if /proc hides it."""
        if not self.process_space or self.process_space != _process_space() or self.process_started is None:
            return None
        try:
            return _process_started(self.pid) == self.process_started
        except OSError:
            return None if _is_there(self.pid) else False

    def silent_seconds(self) -> float:
        """Time since it last said that it lives, as far as the two clocks agree; negative where they do not."""
        return (datetime.now(UTC) - self.refreshed).total_seconds()

    def describe(self) -> str:
        """Who and since when, for a sentence."""
        return (
            f"process {self.pid} on {self.host} (user {self.user}) since {self.since:%Y-%m-%d %H:%M:%S} UTC,"
            f" started as `{self.command}`"
        )


def command_line(arguments: list[str]) -> str:
    """A command as one would type it, without what may be secret in the URIs in it."""
    program, *rest = arguments or [""]
    return _SECRETS.sub("…", shlex.join([os.path.basename(program), *rest]))


def _process_space() -> str:
    """Empty where the system does not tell; then nobody is taken for dead by his process id."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _process_started(pid: int) -> int | None:
    """Start time of a process; None if only its remains are there.

    Raises:
        OSError: there is none of that number, or /proc does not show it: mounted with `hidepid`, it hides those of
            other users, as if they did not exist.
    """
    # The name, in parentheses, may hold spaces and parentheses of its own: what counts comes after the last one.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _is_there(pid: int) -> bool:
    """Whether there is a process of that number, which need not be the one that had it before."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # it is somebody else's
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())  # a container without a name for its user
