"""A real S3 server in a process of its own, and a proxy in front of it that makes it as bad as the real ones are.

test ── HTTP ──> Proxy (faults by rule) ── HTTP ──> moto_server
"""

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import pyarrow.fs
import pytest

KEY_ID, SECRET = "AKIAQMILLTESTKEY7J2Q", "mill+secret/4fT9wQ1zXv8cR2bN6mK3pL5hJ7gD0sAaY"
REGION = "eu-central-1"
_BUSY = b'<?xml version="1.0"?><Error><Code>%s</Code><Message>by rule of the test</Message></Error>'
_CODES = {500: b"InternalError", 503: b"SlowDown", 403: b"AccessDenied"}


@dataclass
class Fault:
    """What happens to requests that match, `times` times."""

    method: str = ".*"
    path: str = ".*"
    """Regular expressions; the path is with the query."""
    times: int = 1
    status: int | None = None
    """Answer with this status instead of asking the server."""
    delay_seconds: float = 0.0
    """Send the answer's body slowly: this long between its quarters."""
    cut: bool = False
    """Close the connection half way through the answer's body."""
    hold: bool = False
    """Wait for `released` before asking the server, and drop the request if the client has gone meanwhile."""
    seen: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    happened: int = 0


class Proxy:
    """Passes requests on to an HTTP server on this machine, except where a fault says otherwise."""

    def __init__(self, port: int) -> None:
        """Begin to serve, in threads of this process."""
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.sent_bytes = 0
        """Of bodies of answers."""
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            upstream = port
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def add(self, **rule: object) -> Fault:
        """Have something go wrong; see `Fault`."""
        fault = Fault(**rule)  # type: ignore[arg-type]
        self.faults.append(fault)
        return fault

    def fault_of(self, method: str, path: str) -> Fault | None:
        """The first fault that still applies to a request, counted."""
        with self._lock:
            self.requests.append(f"{method} {path}")
            for fault in self.faults:
                if fault.happened < fault.times and re.fullmatch(fault.method, method) and re.search(fault.path, path):
                    fault.happened += 1
                    fault.seen.set()
                    return fault
        return None

    def close(self) -> None:
        """Stop."""
        for fault in self.faults:
            fault.released.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: int
    owner: Proxy

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def pass_on(self) -> None:
        body = self._body()
        fault = self.owner.fault_of(self.command, self.path) or Fault()
        if fault.status is not None:
            self._answer(fault.status, {}, _BUSY % _CODES[fault.status], Fault())
            return
        if fault.hold:
            fault.released.wait(60)
            self.connection.setblocking(False)
            try:
                if self.connection.recv(1, socket.MSG_PEEK) == b"":  # a killed client never completed this
                    self.close_connection = True
                    return
            except BlockingIOError:
                pass
            self.connection.setblocking(True)
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "expect")}
        connection.request(self.command, self.path, body=body, headers=headers)
        answer = connection.getresponse()
        self._answer(answer.status, dict(answer.getheaders()), answer.read(), fault)
        connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            del self.headers["Transfer-Encoding"]
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        self.send_response_only(status)
        kept = {"content-length": str(len(body))} | {
            name.lower(): value
            for name, value in headers.items()
            if name.lower() not in ("connection", "transfer-encoding")
        }
        for name, value in kept.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.cut and len(body) > 1:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        step = -(-len(body) // 4) if fault.delay_seconds else len(body)
        for start in range(0, len(body), max(1, step)):
            time.sleep(fault.delay_seconds)
            piece = body[start : start + step]
            self.owner.sent_bytes += len(piece)  # before it is sent, or the receiver may look too early
            self.wfile.write(piece)
            self.wfile.flush()


@dataclass
class Bucket:
    """An empty bucket, reached through a proxy of its own."""

    name: str
    proxy: Proxy
    direct: pyarrow.fs.S3FileSystem
    """The server without the proxy, for a test's own looks."""

    @property
    def uri(self) -> str:
        """Its address."""
        return f"s3://{self.name}"

    def upload(self, folder: Path, prefix: str) -> str:
        """Copy a folder into the bucket; gives its URI."""
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.write(f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())
        return f"{self.uri}/{prefix}"

    def write(self, key: str, data: bytes) -> str:
        """Make an object; gives its URI."""
        with self.direct.open_output_stream(f"{self.name}/{key}") as stream:
            stream.write(data)
        return f"{self.uri}/{key}"

    def read(self, key: str) -> bytes:
        """The bytes of an object."""
        return bytes(self.direct.open_input_file(f"{self.name}/{key}").readall())

    def keys(self, prefix: str = "") -> list[str]:
        """All that a listing shows, sorted."""
        selector = pyarrow.fs.FileSelector(f"{self.name}/{prefix}".rstrip("/"), recursive=True, allow_not_found=True)
        found = self.direct.get_file_info(selector)
        return sorted(info.path.removeprefix(f"{self.name}/") for info in found if info.is_file)


_numbers = count(1)


@pytest.fixture(scope="session")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an S3 server on the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("s3") / "server.log").open("w")
    code = "import sys; from moto.server import main; main(sys.argv[1:])"
    server = subprocess.Popen(
        [sys.executable, "-c", code, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=subprocess.STDOUT
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None, Path(log.name).read_text()
                assert time.monotonic() < deadline, "the S3 server did not come up"
                time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(10)
        log.close()


@pytest.fixture
def bucket(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket, with this process's environment set to reach it."""
    proxy = Proxy(s3_port)
    settings = {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": proxy.url,
    }
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    direct = pyarrow.fs.S3FileSystem(
        endpoint_override=f"http://127.0.0.1:{s3_port}",
        region=REGION,
        allow_bucket_creation=True,
        allow_delayed_open=True,
    )
    name = f"mill-{os.getpid()}-{next(_numbers)}"
    direct.create_dir(name)
    try:
        yield Bucket(name, proxy, direct)
    finally:
        proxy.close()


@pytest.fixture
def secrets_in() -> Callable[[bytes | str], list[str]]:
    """Says which of the credentials stand in a text."""

    def find(text: bytes | str) -> list[str]:
        data = text if isinstance(text, bytes) else text.encode()
        return [secret for secret in (KEY_ID, SECRET) if secret.encode() in data]

    return find
