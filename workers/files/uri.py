"""What a path says: whether it is a URI, of which kind of store, and that it holds no secret.

A key is taken literally. `s3://bucket/50% off #1?.wav` names the object `50% off #1?.wav`: nothing is unquoted, so
every key that a listing gives can be opened again. Addresses on the web are the exception, and as a browser takes them.
"""

import os
import re
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")

# What ends a URI in a sentence is taken for its end, but a signed query may hold quotes and commas: it ends at a space.
_URI_IN_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://((?:\[[^\s\]]*\])?[^\s\"',\]}]*(?<![:.;)`]))")
_KEY_IN_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(\S+@)")  # a key may hold anything but spaces
_QUERY_IN_TEXT = re.compile(r"(://[^\s?]*\?)(\S+)")

WEB = frozenset({"http", "https"})
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "az", "adl", "abfs", "abfss", "hf"})
_NATIVE = frozenset({"s3", "gs", "gcs", "az", "abfs", "abfss", "hdfs", "viewfs"})
_READ_ONLY = WEB | {"hf"}

# Anything that a signed URL carries, or that people put where a password should not be.
_SECRET = re.compile(
    r"(?i)(^|[-_])(sig|signature|passwd|pwd|credential|credentials|auth|authorization)$|(api|access|auth)[-_]?key|"
    r"secret|password|token$|^x-(amz|goog)-(signature|credential|security-token)|^sas$|^key$"
)
_HOST = re.compile(r"(\[[^\[\]@?]*\]|[^:\[\]@?]*)(:\d*)?(\?[^@]*)?")
"""A host, which may be an IPv6 address, its port, and a query that follows at once."""
_CONNECTION = frozenset({"endpoint_override", "scheme", "region", "allow_bucket_creation", "allow_bucket_deletion"})

_ENVIRONMENT = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_ENDPOINT_URL and AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN",
    "abfs": "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN",
    "abfss": "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN",
    "hf": "HF_TOKEN",
}


def is_uri(path: str) -> bool:
    """Whether a path is a URI (`s3://…`) rather than a file name."""
    return _SCHEME.match(path) is not None


def scheme_of(path: str) -> str | None:
    """The lower-case scheme of a URI; None for a file name."""
    found = _SCHEME.match(path)
    return found[1].lower() if found else None


def is_writable(path: str) -> bool:
    """Whether a store could be written there, as far as the kind of path tells."""
    return scheme_of(path) not in _READ_ONLY


def check_uri(path: str) -> None:
    """Refuse a URI that nothing here opens, and one with a secret in it. File names pass.

    Raises:
        ValueError: The message says what to do, and never repeats the secret.
    """
    scheme = scheme_of(path)
    if scheme is None or scheme == "file":
        return
    rest = path[len(scheme) + 3 :]
    authority = rest.split("/", 1)[0]
    if _has_password(scheme, authority):
        shown = re.split("[/?]", _without_user(rest))[0]
        raise ValueError(f"{scheme}://{shown}: {_remedy(scheme, 'a user name or key')}")
    shown, question, query = path.partition("?")
    if question:
        names = _parameters(query)
        if secret := next(filter(_SECRET.search, names), None):
            raise ValueError(f"{shown}?…: {_remedy(scheme, f'a secret in the parameter {secret!r}')}")
        if scheme in _NATIVE and (wrong := next((name for name in names if name in _CONNECTION), None)):
            raise ValueError(
                f"{shown}?…: the parameter {wrong!r} is not taken from a path;"
                f" set {_ENVIRONMENT.get(scheme, 'environment variables')} instead"
            )
    if not authority and scheme != "memory":
        raise ValueError(f"{path}: names nothing; expected {scheme}://{'host' if scheme in WEB else 'bucket'}/…")
    if scheme not in _NATIVE and scheme not in _READ_ONLY and not _known_to_fsspec(scheme):
        raise ValueError(
            f"{shown}: nothing opens {scheme}://; expected a local path, or a URI of s3, gs, az, abfs, hf, http, https,"
            " or of another protocol that fsspec knows"
        )


def redacted(text: str) -> str:
    """A text with what could be a secret in its URIs taken out, for messages about what was refused."""

    def without_user(found: re.Match[str]) -> str:
        has_password = _has_password(found[1].lower(), found[2].split("/", 1)[0])
        return f"{found[1]}://{_without_user(found[2])}" if has_password else found[0]

    def without_key(found: re.Match[str]) -> str:
        has_password = _has_password(found[1].lower(), found[2].split("/", 1)[0])
        return f"{found[1]}://…@" if has_password else found[0]

    def without_query(found: re.Match[str]) -> str:
        return f"{found[1]}…" if any(map(_SECRET.search, _parameters(found[2]))) else found[0]

    for pattern, plain in ((_KEY_IN_TEXT, without_key), (_URI_IN_TEXT, without_user), (_QUERY_IN_TEXT, without_query)):
        text = pattern.sub(plain, text)
    return text


def absolute(path: str) -> str:
    """A local path with `~` and the working directory filled in; a URI as it is, without slashes at its end.

    `file://` becomes the local path that it stands for.

    Raises:
        ValueError: It is a URI that `check_uri` refuses.
    """
    scheme = scheme_of(path)
    if scheme is None:
        return os.path.abspath(os.path.expanduser(path))
    if scheme == "file":
        parts = urlsplit(path)
        if parts.netloc not in ("", "localhost"):
            raise ValueError(f"{path}: names the machine {parts.netloc!r}; a local file is file:///folder/file")
        return os.path.abspath(unquote(parts.path))
    check_uri(path)
    if scheme in WEB:
        return path
    return f"{scheme}://{path[len(scheme) + 3 :].rstrip('/')}"


def join_path(base: str, name: str) -> str:
    """`name` as seen from the folder `base`: unchanged where it is absolute or a URI itself."""
    if is_uri(name):
        return name
    if scheme_of(base) in WEB:
        return urljoin(base if base.endswith("/") else f"{base}/", name)
    if not is_uri(base):
        return os.path.join(base, name)
    if name.startswith("/"):
        raise ValueError(f"{name!r} is a path of this machine, but it is named at {base}; give it relative to that")
    parts = base.rstrip("/").split("/")
    for step in name.split("/"):
        if step == "..":
            if len(parts) <= 3:  # scheme:, nothing, bucket
                raise ValueError(f"{name!r} leads out of {base}")
            parts.pop()
        elif step not in ("", "."):
            parts.append(step)
    return "/".join(parts)


def folder_of(path: str) -> str:
    """The folder that a file lies in."""
    if not is_uri(path):
        return os.path.dirname(os.path.abspath(path))
    return without_query(path).rpartition("/")[0]


def extension_of(path: str) -> str:
    """What a file's name ends in, lower-case and with its dot."""
    return os.path.splitext(without_query(path))[1].lower()


def without_query(path: str) -> str:
    """A web address up to its query or fragment; any other path as it is."""
    return re.split("[?#]", path, maxsplit=1)[0] if scheme_of(path) in WEB else path


def _has_password(scheme: str, authority: str) -> bool:
    """Whether something stands there that is neither a host, nor a bucket, nor `container@account…` of abfs.

    A key may hold slashes, so that of `s3://KEY:SEC/RET@bucket` the authority is `KEY:SEC`: no bucket has a colon.
    """
    if scheme not in _BUCKETS:
        return not _HOST.fullmatch(authority)
    return ":" in authority or ("@" in authority and scheme not in ("abfs", "abfss"))


def _without_user(rest: str) -> str:
    """What comes behind the scheme, up to its last @ left out: a secret may hold any character before that."""
    _, at, after = rest.rpartition("@")
    return f"…@{after}" if at else "…"


def _parameters(query: str) -> list[str]:
    """Names in a query, and in those of addresses that are values of it."""
    return [name for name, _ in parse_qsl(query.replace("?", "&"), keep_blank_values=True)]


def _remedy(scheme: str, what: str) -> str:
    if scheme in WEB:
        return (
            f"holds {what}, which would end up in specs and logs; copy the files to where no key is needed in the URL"
        )
    names = _ENVIRONMENT.get(scheme, "environment variables")
    return f"holds {what}, which would end up in specs and logs; take it out and set {names} in the environment"


def _known_to_fsspec(scheme: str) -> bool:
    import fsspec

    return scheme in fsspec.available_protocols()
