import os

import pytest

from workers.files import absolute, check_uri, is_uri, is_writable, join_path
from workers.files.uri import extension_of, folder_of, redacted

SECRET = "wJalrXUt+nFEMI/K7MDENG=bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        (f"s3://AKIA:{SECRET.replace('/', '')}@bucket/a.wav", "set AWS_ACCESS_KEY_ID, .* in the environment"),
        ("s3://wJalrXUt@bucket/a.wav", "a user name or key"),
        (f"https://user:{SECRET.replace('/', '')}@host/a.wav", "copy the files to where no key is needed"),
        ("https://wJalrXUt@host/a.wav", "a user name or key"),
        (f"https://host/a.wav?X-Amz-Credential=AKIA&X-Amz-Signature={SECRET}", "parameter 'X-Amz-Credential'"),
        (f"https://host/a.wav?versionId=3&sig={SECRET}", "parameter 'sig'"),
        (f"https://host/a.wav?access_token={SECRET}", "parameter 'access_token'"),
        (f"https://host/a.wav?accessToken={SECRET}", "parameter 'accessToken'"),
        (f"https://host/a.wav?page=1&authtoken={SECRET}", "parameter 'authtoken'"),
        (f"https://host/a.wav?key={SECRET}", "parameter 'key'"),
        (f"https://host/get?url=https://other/a.wav?sig={SECRET}", "parameter 'sig'"),
        (f"s3://AKIA123:{SECRET}@bucket/a.wav", "s3://…@bucket: holds a user name or key"),
        (f"s3://AKIA123:{SECRET}/a.wav", "s3://…: holds a user name or key"),
        (f"s3://AKIA123:@@{SECRET}@bucket/a.wav", "s3://…@bucket: holds a user name or key"),
        (f"https://user:{SECRET}@host:80/a.wav", "https://…@host:80: holds a user name or key"),
        (f"hdfs://user:{SECRET}@node/a.wav", "hdfs://…@node: holds a user name or key"),
        (f"s3://bucket/a.wav?secret_key={SECRET}&region=x", "parameter 'secret_key'"),
        (f"gs://bucket/a.wav?X-Goog-Signature={SECRET}", "set GOOGLE_APPLICATION_CREDENTIALS"),
        (f"abfs://account:{SECRET.replace('/', '')}@container/a.wav", "set AZURE_STORAGE_KEY"),
        (f"S3://AKIA:{SECRET.replace('/', '')}@bucket/a.wav", "a user name or key"),
    ],
)
def test_credentials_are_refused_and_not_repeated(uri: str, remedy: str) -> None:
    for check in (check_uri, absolute):
        with pytest.raises(ValueError, match=remedy) as caught:
            check(uri)
        assert SECRET[:8] not in str(caught.value)
    assert SECRET[:8] not in redacted(f"--set source.path={uri}")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a@b/50% off #1?.wav",
        "s3://bucket",
        "gs://bucket/a.wav",
        "az://container/a.wav",
        "abfss://container@account.dfs.core.windows.net/a.wav",
        "hf://datasets/someone/sounds@main/a.wav",
        "https://host/a.wav?download=true&page=2",
        "http://host:8000/a@b:c.wav",
        "http://host:8000?at=12:30",
        "http://[::1]:8000/a.wav",
        "hdfs://node:8020/a.wav",
        "memory://a.wav",
        "file:///data/a.wav",
        "/data/a:b@c?token=3.wav",
        "sounds/a.wav",
    ],
)
def test_what_is_no_secret_passes(uri: str) -> None:
    check_uri(uri)
    assert redacted(uri) == uri


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("ftq://host/a.wav", "nothing opens ftq://; expected a local path, or a URI of s3, gs"),
        ("s3://", "names nothing; expected s3://bucket/"),
        ("s3://bucket/a?endpoint_override=localhost:9000", "set .*AWS_ENDPOINT_URL"),
        ("file://elsewhere/data", "names the machine 'elsewhere'"),
    ],
)
def test_what_cannot_be_opened_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        absolute(uri)


def test_sentences_keep_all_but_their_secrets() -> None:
    for text in ("s3://b: gone (see http://host:80).", "['http://host/a?x=1', 's3://b/c']", "`hdfs://node:80`; a@b"):
        assert redacted(text) == text
    assert redacted("400, url='https://host/a?name=''b.wav''&Signature=x' it is") == "400, url='https://host/a?… it is"
    assert redacted("['http://host/a?x=1','s3://KEY:SEC/RET@b/c']: no") == "['http://host/a?x=1','s3://…@b/c']: no"


def test_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert absolute("sounds") == f"{os.getcwd()}/sounds"
    assert absolute("~/sounds") == "/home/somebody/sounds"
    assert absolute("file:///data/50%25%20off/") == "/data/50% off"
    assert absolute("S3://bucket/latents//") == "s3://bucket/latents"
    assert absolute("https://host/a/?x=1") == "https://host/a/?x=1"


def test_which_are_uris() -> None:
    assert [is_uri(path) for path in ("s3://b", "file:///a", "a/b://c", "/a", "C:\\x", "x:y")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip
    assert is_writable("s3://b/x")
    assert is_writable("/data")
    assert not is_writable("http://host/x")
    assert not is_writable("hf://datasets/a/b")


@pytest.mark.parametrize(
    ("base", "name", "joined"),
    [
        ("s3://b/sounds", "low/a.wav", "s3://b/sounds/low/a.wav"),
        ("s3://b/sounds/", "./x/../a.wav", "s3://b/sounds/a.wav"),
        ("s3://b/sounds", "../a#1.wav", "s3://b/a#1.wav"),
        ("s3://b/sounds", "gs://c/a.wav", "gs://c/a.wav"),
        ("https://host/x", "a b.wav", "https://host/x/a b.wav"),
        ("https://host/x/y", "../a.wav", "https://host/x/a.wav"),
        ("/data", "a.wav", "/data/a.wav"),
        ("/data", "/other/a.wav", "/other/a.wav"),
        ("/data", "s3://b/a.wav", "s3://b/a.wav"),
    ],
)
def test_names_are_seen_from_their_folder(base: str, name: str, joined: str) -> None:
    assert join_path(base, name) == joined


def test_names_cannot_leave_their_bucket() -> None:
    with pytest.raises(ValueError, match=r"'\.\./\.\./c/a\.wav' leads out of s3://b/x"):
        join_path("s3://b/x", "../../c/a.wav")
    with pytest.raises(ValueError, match="'/etc/passwd' is a path of this machine"):
        join_path("s3://b/x", "/etc/passwd")


def test_the_folder_of_a_file() -> None:
    assert folder_of("s3://b/x/m.csv") == "s3://b/x"
    assert folder_of("https://host/x/m.csv?page=a/b") == "https://host/x"
    assert folder_of("https://host/x/m.csv#a/b") == "https://host/x"
    assert folder_of("/data/m.csv") == "/data"


def test_the_extension_of_a_file() -> None:
    assert extension_of("https://host/x/m.PARQUET?download=true&as=a.csv") == ".parquet"
    assert extension_of("https://host/x/m.csv#row=2.5") == ".csv"
    assert extension_of("s3://b/what?.wav") == ".wav"
    assert extension_of("/data/x.d/take #1?") == ""


@pytest.mark.parametrize("uri", ["sftp://host:2222/data", "ftp://nas:2121/a.wav", "smb://server:445/share/a.wav"])
def test_ports_of_hosts_are_no_secrets(uri: str) -> None:
    check_uri(uri)
    assert redacted(uri) == uri


@pytest.mark.parametrize("text", ["s3://KEY:SEC,RET@bucket/x", "https://user:p'w]x@host/a", "sftp://me:a}b@host/c"])
def test_keys_may_hold_what_ends_a_sentence(text: str) -> None:
    shown = redacted(f"cannot open {text}: no")
    assert not any(piece in shown for piece in ("RET", "'w]x", "a}b"))
    with pytest.raises(ValueError, match="would end up in specs and logs"):
        check_uri(text)
