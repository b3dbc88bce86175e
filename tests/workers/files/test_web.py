"""Files on a web server, with ranges and without, busy and forbidden."""

import os
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from workers.files import RemoteFile, StorageUnavailableError, list_folder, open_file, stat_file

SIGNED = "response=%27%27x.wav%27%27&X-Amz-Signature=hunter2"
DATA = np.random.default_rng(0).bytes(6_000_000)


class Server(SimpleHTTPRequestHandler):
    """Files, as class attributes say."""

    ranges = False
    busy: int = 0
    status: int = 503
    requests: list[str]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        if not self._fails():
            super().do_HEAD()

    def do_GET(self) -> None:
        if self._fails():
            return
        wanted = self.headers.get("Range")
        type(self).requests.append(wanted or "all")
        if not (self.ranges and wanted):
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def _fails(self) -> bool:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", f"/big%20file.bin?{SIGNED}")
            self.end_headers()
            return True
        if type(self).busy > 0:
            type(self).busy -= 1
            self.send_error(self.status)
            return True
        return False


@pytest.fixture(params=[True, False], ids=["ranges", "no_ranges"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """The address of a server, and its handler class to set what it does."""
    handler = type("Handler", (Server,), {"ranges": request.param, "requests": []})
    (tmp_path / "big file.bin").write_bytes(DATA)
    (tmp_path / "empty").write_bytes(b"")
    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path)))
    Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{web.server_port}", handler
    web.shutdown()
    web.server_close()


def test_any_part_of_a_file(server: tuple[str, Any]) -> None:
    url, handler = server
    with open_file(f"{url}/big%20file.bin") as file:
        assert file.read(10) == DATA[:10]
        file.seek(5_500_000)
        assert file.read() == DATA[5_500_000:]
    assert len(handler.requests) == (2 if handler.ranges else 1)
    assert stat_file(f"{url}/big%20file.bin").size == len(DATA)
    assert open_file(f"{url}/empty").read() == b""
    remote = RemoteFile(f"{url}/big%20file.bin")
    assert remote.read(len(DATA) - 5, 100) == DATA[-5:]


def test_a_touched_file_has_another_time(server: tuple[str, Any], tmp_path: Path) -> None:
    url, _ = server
    first = stat_file(f"{url}/empty")
    assert first == stat_file(f"{url}/empty")
    os.utime(tmp_path / "empty", (1, 1))
    assert stat_file(f"{url}/empty").modified_ns == 1_000_000_000


def test_busy_for_a_while(server: tuple[str, Any]) -> None:
    url, handler = server
    handler.busy = 3
    assert open_file(f"{url}/big%20file.bin").read() == DATA
    assert handler.busy == 0


def test_busy_for_too_long(server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    url, handler = server
    monkeypatch.setattr("workers.files.retry._DELAYS_SECONDS", (0.0,))
    handler.busy = 100
    with pytest.raises(StorageUnavailableError, match="empty: no luck in 2 tries"):
        open_file(f"{url}/empty")


def test_where_a_server_sends_one_on_to_is_not_repeated(
    server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = server
    monkeypatch.setattr("workers.files.retry._DELAYS_SECONDS", (0.0,))
    remote = RemoteFile(f"{url}/moved")
    handler.busy = 100
    with pytest.raises(StorageUnavailableError, match=r"moved: no luck in 2 tries .* 503.*file\.bin\?…") as caught:
        remote.read(0, 10)
    assert "hunter2" not in str(caught.value)


def test_missing_or_forbidden(server: tuple[str, Any]) -> None:
    url, handler = server
    with pytest.raises(FileNotFoundError, match="nothing"):
        stat_file(f"{url}/nothing")
    handler.busy, handler.status = 4, 403
    with pytest.raises(PermissionError, match="no permission"):
        open_file(f"{url}/empty")
    with pytest.raises(ValueError, match="a folder on the web cannot be listed; give a manifest"):
        list(list_folder(f"{url}/"))
