"""Trying again what failed for a reason that passes: a busy server, a cut connection, a timeout."""

import errno
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from workers.files.uri import redacted

T = TypeVar("T")

_DELAYS_SECONDS = (0.2, 1.0, 4.0, 10.0)
"""Between the five tries; each is up to half as long again, so that many workers do not come back at once."""

_GIVE_UP_AFTER_SECONDS = 120.0
"""No further try begins after this long: a server that hangs costs a timeout with each."""

_PASSING_ERRNOS = frozenset(
    {
        errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETDOWN,
        errno.ENETRESET, errno.ENETUNREACH, errno.EPIPE, errno.ETIMEDOUT,
    }
)  # fmt: skip
_PASSING_STATUSES = frozenset({408, 425, 429})
_STATUS = re.compile(r"HTTP (?:status|code:?) (\d{3})")
_PASSING_WORDS = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIME|THROTTL|REQUEST_LIMIT"
    r"|curlCode|UNAVAILABLE|DEADLINE_EXCEEDED|(?i:internal ?error|slow ?down|time[d-]? ?out|connection|reset by peer)"
)
_FORBIDDEN_WORDS = re.compile(
    r"ACCESS_DENIED|HTTP status 40[13]|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT|PERMISSION_DENIED"
)
_MISSING_WORDS = re.compile(r"NO_SUCH_BUCKET|NO_SUCH_KEY|RESOURCE_NOT_FOUND|HTTP status 404")
_jitter = random.Random()  # its own, so that nobody's seeded numbers change


class StorageUnavailableError(OSError):
    """A store did not answer, though it was asked several times: a fault of the network or server, not of the file."""


def retried(action: Callable[[], T], path: str) -> T:
    """What `action` returns, tried again while it fails for a reason that passes.

    Args:
        action: May be done more than once.
        path: What it is about, for the message.

    Raises:
        FileNotFoundError: There is no such file or bucket.
        PermissionError: The store refuses; the message names the path.
        StorageUnavailableError: Five tries failed, or two minutes passed.
    """
    began = time.monotonic()
    for tries, delay in enumerate((*_DELAYS_SECONDS, None), 1):
        try:
            return action()
        except Exception as error:
            if not is_passing(error):
                if (plain := _plain(error, path)) is None:
                    raise
                raise plain from error
            waited = time.monotonic() - began
            if delay is None or waited + delay > _GIVE_UP_AFTER_SECONDS:
                raise StorageUnavailableError(
                    f"{path}: no luck in {tries} tries over {waited:.0f} s; the last: {_one_line(error)}"
                ) from error
        time.sleep(delay * _jitter.uniform(1, 1.5))
    raise AssertionError("the last try returns or raises")


def is_passing(error: BaseException) -> bool:
    """Whether the same may succeed a little later."""
    for cause in _chain(error):
        if (status := _status(cause)) is not None:
            return status >= 500 or status in _PASSING_STATUSES
        if isinstance(cause, StorageUnavailableError):
            return False
        if isinstance(cause, ConnectionError | TimeoutError):
            return True
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _PASSING_ERRNOS
    # Arrow's errors are OSErrors that only have words; those of HTTP clients are not OSErrors at all.
    is_storage = isinstance(error, OSError) or type(error).__module__.partition(".")[0] in (
        "aiohttp",
        "httpx",
        "requests",
    )
    return is_storage and _PASSING_WORDS.search(str(error)) is not None


def _plain(error: Exception, path: str) -> OSError | None:
    """The same in Python's own kinds of errors; None where it is one already, or nothing is known about it."""
    if isinstance(error, PermissionError):
        return None
    statuses = {_status(cause) for cause in _chain(error)}
    if statuses & {401, 403} or (
        isinstance(error, OSError) and error.errno is None and _FORBIDDEN_WORDS.search(str(error))
    ):
        return PermissionError(errno.EACCES, "no permission (are the credentials in the environment?)", path)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "no such file", path)
    if 404 in statuses or (isinstance(error, OSError) and _MISSING_WORDS.search(str(error))):
        return FileNotFoundError(errno.ENOENT, "no such file or bucket", path)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from: fsspec hides a busy web server behind a FileNotFoundError."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def _status(error: BaseException) -> int | None:
    """HTTP status of an error that has one."""
    answer = getattr(error, "response", None)
    for status in (getattr(error, "status", None), getattr(answer, "status_code", None)):
        if isinstance(status, int):
            return status
    found = _STATUS.search(str(error)) if isinstance(error, OSError) and error.errno is None else None
    return int(found[1]) if found else None


def _one_line(error: BaseException) -> str:
    """The error's words, without the signed addresses that a server sends one on to."""
    return redacted(" ".join((str(error) or type(error).__name__).split()))[:400]
