import errno

import pytest

from workers.files import StorageUnavailableError, retried
from workers.files.retry import is_passing


class Answer(Exception):
    """An error of an HTTP client."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status}")
        self.status = status


def caused(error: Exception, by: Exception) -> Exception:
    """`error` as if raised from `by`."""
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError("When reading: AWS Error SLOW_DOWN during GetObject operation"), True),
        (OSError("AWS Error UNKNOWN (HTTP status 502) during PutObject operation"), True),
        (OSError("AWS Error UNKNOWN (HTTP status 400) during CreateBucket: connection"), False),
        (OSError("AWS Error NETWORK_CONNECTION during HeadObject: curlCode: 28, Timeout was reached"), True),
        (OSError("AWS Error ACCESS_DENIED during HeadObject operation"), False),
        (OSError("google::cloud::Status(UNAVAILABLE: try again)"), True),
        (OSError("Couldn't deserialize thrift: TProtocolException"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (OSError(errno.ECONNRESET, "reset"), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (FileNotFoundError("x"), False),
        (caused(FileNotFoundError("x"), Answer(503)), True),
        (caused(FileNotFoundError("x"), Answer(404)), False),
        (Answer(429), True),
        (Answer(403), False),
        (StorageUnavailableError("connection"), False),
        (ValueError("connection timed out"), False),
        (KeyError("reset by peer"), False),
    ],
)
def test_what_passes(error: Exception, passes: bool) -> None:
    assert is_passing(error) == passes


def failing(*errors: Exception) -> object:
    """A function that raises these one after the other, then gives `done`."""
    left = list(errors)

    def act() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return act


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.files.retry._DELAYS_SECONDS", (0.0, 0.0, 0.0, 0.0))


def test_four_failures_are_survived_and_five_are_not() -> None:
    assert retried(failing(*[TimeoutError()] * 4), "s3://b/x") == "done"  # type: ignore[arg-type]
    with pytest.raises(StorageUnavailableError, match="s3://b/x: no luck in 5 tries over 0 s; the last: TimeoutError"):
        retried(failing(*[TimeoutError()] * 5), "s3://b/x")  # type: ignore[arg-type]


def test_signed_addresses_are_not_repeated() -> None:
    error = ConnectionResetError("reset by https://cdn/x?name=''x.wav''&Signature=hunter2 meanwhile")
    with pytest.raises(StorageUnavailableError, match=r"the last: reset by https://cdn/x\?… meanwhile"):
        retried(failing(*[error] * 5), "https://host/x")  # type: ignore[arg-type]


def test_a_server_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 60.0, 130.0])
    monkeypatch.setattr("workers.files.retry.time.monotonic", lambda: next(clock))
    with pytest.raises(StorageUnavailableError, match="no luck in 2 tries over 130 s"):
        retried(failing(*[TimeoutError()] * 5), "s3://b/x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError("AWS Error ACCESS_DENIED during HeadObject operation"), PermissionError),
        (caused(FileNotFoundError("x"), Answer(403)), PermissionError),
        (OSError("AWS Error NO_SUCH_BUCKET during PutObject operation"), FileNotFoundError),
        (FileNotFoundError("[Errno 2] Path does not exist 'b/x'"), FileNotFoundError),
        (Answer(404), FileNotFoundError),
        (ValueError("nonsense"), ValueError),
    ],
)
def test_other_failures_are_told_at_once_in_plain_words(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"s3://b/x|nonsense"):
        retried(failing(error), "s3://b/x")  # type: ignore[arg-type]
