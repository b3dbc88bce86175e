"""Which pyarrow file system opens a URI, with endpoint and credentials from the environment."""

import os
from functools import cache
from typing import Any

from workers.files.uri import WEB, check_uri, scheme_of

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
"""How long a server may be silent."""

_SETTINGS = (
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_PROFILE",
    "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME", "GOOGLE_APPLICATION_CREDENTIALS",
)  # fmt: skip

_SDK_ATTEMPTS = 4
"""The S3 client's own quick tries; `retried` comes on top with longer pauses."""


def filesystem_of(path: str) -> tuple[Any, str]:
    """The file system that opens a path, and the path's name in it.

    Args:
        path: A local path or a URI.

    Returns:
        A `pyarrow.fs.FileSystem`, shared by all callers in this process, and the path as it takes it. It holds no keys
        of S3 or Google, so that pickling it gives none away.

    Raises:
        ValueError: `check_uri` refuses the path, or nothing opens it.
    """
    scheme = scheme_of(path)
    if scheme is None or scheme == "file":
        from pyarrow.fs import LocalFileSystem

        from workers.files.uri import absolute

        return LocalFileSystem(), absolute(path)
    check_uri(path)
    rest = path[len(scheme) + 3 :]
    bucket = rest.split("/", 1)[0]
    if scheme in WEB:
        return _open(_surroundings(), scheme, ""), path
    if scheme == "s3":
        return _open(_surroundings(), scheme, "" if _s3_region() or _s3_endpoint() else bucket), rest
    if scheme in ("abfs", "abfss") and "@" in bucket:
        container, _, host = bucket.partition("@")
        return _open(_surroundings(), "az", host.partition(".")[0]), container + rest[len(bucket) :]
    if scheme in ("az", "abfs", "abfss"):
        return _open(_surroundings(), "az", ""), rest
    if scheme in ("hdfs", "viewfs"):
        return _open(_surroundings(), scheme, bucket), rest[len(bucket) :] or "/"
    return _open(_surroundings(), scheme, ""), rest


def fsspec_of(filesystem: Any) -> Any:
    """The fsspec file system inside a pyarrow one; None where there is none."""
    return getattr(getattr(filesystem, "handler", None), "fs", None)


def _surroundings() -> tuple[object, ...]:
    """What a client depends on beside the URI; a fork must not share sockets with its parent."""
    return (os.getpid(), *map(os.environ.get, _SETTINGS))


@cache
def _open(surroundings: tuple[object, ...], scheme: str, account: str) -> Any:  # noqa: ARG001 (read anew where it differs)
    import pyarrow.fs

    if scheme == "s3":
        return _s3(account)
    if scheme in ("gs", "gcs"):
        return pyarrow.fs.GcsFileSystem()
    if scheme == "az":
        return _azure(account)
    if scheme in ("hdfs", "viewfs"):
        return pyarrow.fs.FileSystem.from_uri(f"{scheme}://{account}")[0]
    return _fsspec(scheme)


def _s3(bucket: str) -> Any:
    import pyarrow.fs

    region = _s3_region()
    if bucket:
        region = pyarrow.fs.resolve_s3_region(bucket)
    return pyarrow.fs.S3FileSystem(
        region=region,
        endpoint_override=_s3_endpoint(),
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_ANSWER_SECONDS,
        retry_strategy=pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=_SDK_ATTEMPTS),
        allow_delayed_open=True,  # a small object is one request, not the three of an upload in parts
    )


def _s3_endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _s3_region() -> str | None:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return region or ("us-east-1" if _s3_endpoint() else None)


def _azure(account: str) -> Any:
    import pyarrow.fs

    settings = os.environ
    account = account or settings.get("AZURE_STORAGE_ACCOUNT") or settings.get("AZURE_STORAGE_ACCOUNT_NAME") or ""
    if not account:
        raise ValueError(
            "which storage account? set AZURE_STORAGE_ACCOUNT, or give abfs://container@account.dfs.…/path"
        )
    key = settings.get("AZURE_STORAGE_KEY") or settings.get("AZURE_STORAGE_ACCOUNT_KEY")
    token = settings.get("AZURE_STORAGE_SAS_TOKEN")
    return pyarrow.fs.AzureFileSystem(account, account_key=key, sas_token=None if key else token)


def _fsspec(scheme: str) -> Any:
    import fsspec
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    options: dict[str, Any] = {}
    if scheme in WEB:
        import aiohttp

        patience = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_ANSWER_SECONDS)
        options = {"client_kwargs": {"trust_env": True, "timeout": patience}}
    try:
        found = fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True, **options)
    except ImportError as error:
        raise ValueError(f"{scheme}:// needs a package that is not installed: {error}") from error
    return PyFileSystem(FSSpecHandler(found))
