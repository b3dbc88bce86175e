"""Whole jobs with source, manifest, weights and store on a real S3 server: the same store as on a local disk.

They run on the command line, in processes that have the credentials in their environment, and are compared with plain
loops over local files in this one.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from jobs.encode_job import EncodeJob
from jobs.mel_job import MelJob
from jobs.run import run_job
from pipeline.placement_spec import PlacementSpec
from pipeline.segment_spec import SegmentSpec
from pipeline.source_spec import SourceSpec
from pipeline.store import LatentStore, location
from tests.jobs.stores import run_in_a_loop
from workers.models.audio_vae import AudioVAE
from workers.models.audio_vae_spec import AudioVaeConfig, AudioVaeSpec

pytestmark = pytest.mark.usefixtures("caches")

Start = Callable[[Any], subprocess.Popen[bytes]]


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches and logs of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def job(source: str, output: str, *, weights: str | None = None) -> Any:
    """A small job: mels, or latents where there are weights."""
    shared: dict[str, Any] = {
        "source": SourceSpec(path=source),
        "output": output,
        "segment": SegmentSpec(length_seconds=1.024),
        "placement": PlacementSpec(actors=1, units_per_block=8),
        "microbatch": 4,
    }
    if weights is None:
        return MelJob(**shared)
    return EncodeJob(**shared, model=AudioVaeSpec(weights=weights), precision="float32", mel={"n_mels": 16})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny AudioVAE, saved."""
    folder = tmp_path_factory.mktemp("weights") / "vae"
    AudioVAE(AudioVaeConfig(mel_channels=16, base_channels=4, num_res_blocks=1)).save(folder)
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `latentmill run` in a process (and session) of its own."""
    started = []

    def begin(wanted: Any) -> subprocess.Popen[bytes]:
        spec = tmp_path / f"job-{len(started)}.yaml"
        spec.write_text(yaml.safe_dump(wanted.model_dump(mode="json")))
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        command = [sys.executable, "-c", "from jobs.cli import main; main()", "run", str(spec)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


@pytest.fixture
def run_away(start: Start) -> Callable[[Any], LatentStore]:
    """Runs a job to its end in a process of its own; gives its store."""

    def run(wanted: Any) -> LatentStore:
        process = start(wanted)
        output = process.communicate(timeout=400)[0].decode()
        assert process.returncode == 0, output
        return LatentStore(wanted.output)

    return run


def test_source_and_store_on_s3(
    bucket: Any, make_clips: Callable[..., Path], tmp_path: Path, run_away: Callable[[Any], LatentStore]
) -> None:
    clips = make_clips(3)
    source = bucket.upload(clips, "sounds")
    local = run_in_a_loop(job(str(clips), str(tmp_path / "local")))
    away = run_away(job(source, f"{bucket.uri}/out"))
    assert away.manifest.content_digest == local.manifest.content_digest
    assert away.manifest.identity == local.manifest.identity
    assert location.list_names(away.path) == sorted(set(os.listdir(tmp_path / "local")) - {"logs"})


@pytest.mark.slow
def test_everything_on_s3(
    bucket: Any,
    clips: Path,
    weights: Path,
    tmp_path: Path,
    run_away: Callable[[Any], LatentStore],
    secrets_in: Callable[[bytes], list[str]],
) -> None:
    local = run_in_a_loop(job(str(clips / "captions.csv"), str(tmp_path / "local"), weights=str(weights)))
    source, model = bucket.upload(clips, "sounds"), bucket.upload(weights, "models/vae")
    wanted = job(f"{source}/captions.csv", f"{bucket.uri}/out/latents", weights=model)
    there = run_away(wanted)
    assert there.manifest.content_digest == local.manifest.content_digest
    assert there.manifest.identity == local.manifest.identity
    assert there.manifest.totals.num_quarantined == 0
    parts = bucket.keys("out/latents/data")
    run_away(wanted)
    assert bucket.keys("out/latents/data") == parts

    here = LatentStore(tmp_path / "local")
    assert there.ids == here.ids
    assert there.spec["model"]["weights"] == model
    for mine, theirs in zip(here, there, strict=True):
        assert mine["latent_mean"].tobytes() == theirs["latent_mean"].tobytes()
        assert mine["caption"] == theirs["caption"]
    for key in bucket.keys("out"):
        assert not secrets_in(bucket.read(key)), key
    assert not [key for key in bucket.keys("out") if key.endswith(".tmp")]


@pytest.mark.slow
def test_a_bad_day_of_the_server_changes_nothing(
    bucket: Any, clips: Path, tmp_path: Path, run_away: Callable[[Any], LatentStore]
) -> None:
    local = run_in_a_loop(job(str(clips), str(tmp_path / "local")))
    source = bucket.upload(clips, "sounds")
    for index, fault in enumerate(({"status": 503}, {"status": 500}, {"cut": True}, {"delay_seconds": 0.05})):
        for method in ("GET", "PUT", "HEAD", "POST", "DELETE"):
            bucket.proxy.add(method=method, times=3 + index, **fault)
    away = run_away(job(source, f"{bucket.uri}/out"))
    assert away.manifest.content_digest == local.manifest.content_digest
    assert away.manifest.totals.num_quarantined == 0
    assert sum(fault.happened for fault in bucket.proxy.faults) > 20


@pytest.mark.slow
@pytest.mark.parametrize("broken", [r"/out/data/.*parquet", r"/out/manifest\.json", r"/out/plan/"])
def test_a_driver_killed_while_it_uploads_leaves_nothing_half_visible(
    broken: str,
    start: Start,
    bucket: Any,
    clips: Path,
    tmp_path: Path,
    secrets_in: Callable[[bytes], list[str]],
) -> None:
    local = run_in_a_loop(job(str(clips), str(tmp_path / "local")))
    wanted = job(bucket.upload(clips, "sounds"), f"{bucket.uri}/out")
    held = bucket.proxy.add(method="PUT", path=broken, hold=True)
    driver = start(wanted)
    assert held.seen.wait(200), driver.poll()
    os.killpg(driver.pid, signal.SIGKILL)
    said = driver.communicate(timeout=60)[0]
    held.released.set()
    for key in bucket.keys("out"):
        content = bucket.read(key)
        if key.endswith(".parquet"):
            assert content[:4] == content[-4:] == b"PAR1", key
        elif key.endswith(".json"):
            json.loads(content)
    second = start(wanted)
    output = second.communicate(timeout=400)[0]
    assert second.returncode == 0, output.decode()
    store = LatentStore(f"{bucket.uri}/out")
    assert store.manifest.state == "complete"
    assert store.manifest.content_digest == local.manifest.content_digest
    assert b"the log of this run is" in output
    logs = [path.read_bytes() for path in (tmp_path / "state").rglob("*.log")]
    for text in (said, output, *logs, *map(bucket.read, bucket.keys("out"))):
        assert not secrets_in(text)


class _Ranged(SimpleHTTPRequestHandler):
    """A web server for files, that knows ranges if `ranges` says so."""

    ranges = False

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if not (self.ranges and self.headers.get("Range")):
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        piece = data[int(first) : int(last) + 1 if last else None]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        self.wfile.write(piece)


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def web(request: pytest.FixtureRequest, clips: Path) -> Iterator[str]:
    """The recordings on the web."""
    handler = type("Handler", (_Ranged,), {"ranges": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(clips)))
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_source_on_the_web(web: str, clips: Path, tmp_path: Path) -> None:
    local = run_in_a_loop(job(str(clips / "captions.csv"), str(tmp_path / "local")))
    away = run_job(job(f"{web}/captions.csv", str(tmp_path / "away")))
    assert away.manifest.content_digest == local.manifest.content_digest
    names = [line.split(",")[0] for line in (clips / "captions.csv").read_text().splitlines()[1:]]
    rows = "\n".join(json.dumps({"path": f"{web}/{name}", "name": name}) for name in names)
    (tmp_path / "web.jsonl").write_text(rows)
    listed = job(str(tmp_path / "web.jsonl"), str(tmp_path / "listed"))
    listed = listed.model_copy(update={"source": SourceSpec(path=str(tmp_path / "web.jsonl"), id_column="name")})
    assert run_job(listed).manifest.totals.num_units == local.manifest.totals.num_units
