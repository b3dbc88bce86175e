"""The command line as a person meets it: exit codes, one-screen messages, kills and resumes."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.load import load_job
from jobs.run import run_job
from pipeline.store import LatentStore
from tests.jobs.command import COMMAND, latentmill, parts_of, started, wait_for_parts
from tests.jobs.stores import run_in_a_loop

OVERRIDES = {
    "segment.length_seconds": 1.024,
    "segment.hop_seconds": 0.512,
    "model.weights": "random",
    "model.base_channels": 8,
    "microbatch": 4,
    "placement.units_per_block": 4,
    "placement.actors": 1,
}


def values_of(source: Path, output: Path, **changes: Any) -> list[str]:
    values = {"source.path": source, "output": output, **OVERRIDES, **changes}
    return [f"{name}={value}" for name, value in values.items()]


def arguments(source: Path, output: Path, **changes: Any) -> list[str]:
    return ["run", "encode_audio", *(f"--set={value}" for value in values_of(source, output, **changes))]


def times_of(store: Path) -> dict[str, int]:
    """Committed files with the time each was written."""
    return {path.name: path.stat().st_mtime_ns for path in parts_of(store)}


def digest(store: Path) -> str | None:
    return LatentStore(store).manifest.content_digest


@pytest.fixture(scope="module")
def undisturbed(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store made in one go, and what the command printed."""
    store = tmp_path_factory.mktemp("cli") / "store"
    result = latentmill(*arguments(clips, store))
    assert result.returncode == 0, result.stdout + result.stderr
    return store, result.stdout


def test_a_run_prints_what_it_made_and_what_to_type_next(undisturbed: tuple[Path, str]) -> None:
    store, printed = undisturbed
    for expected in ("starting Ray", "model actor(s) with", "precision ", "times real time", "next:"):
        assert expected in printed
    assert f"latentmill status {store}" in printed
    assert f"latentmill show {store} '" in printed
    assert str(digest(store)) in printed
    for chatter in ("raylet", "INFO", "WARNING", "Dataset dataset_"):
        assert chatter not in printed
    assert list((store / "logs").glob("*.log"))


def test_status_and_show(undisturbed: tuple[Path, str]) -> None:
    store, _ = undisturbed
    status = json.loads(latentmill("status", store, "--json").stdout)
    assert status["state"] == "complete"
    assert status["num_units"] == status["num_stored"] == len(LatentStore(store))
    assert "complete" in latentmill("status", store).stdout
    sample_id = LatentStore(store).ids[0].as_py()
    shown = latentmill("show", store, sample_id).stdout
    assert sample_id in shown
    assert "latent_mean" in shown
    assert "[8, 8]" in shown


def test_show_suggests_ids(undisturbed: tuple[Path, str]) -> None:
    result = latentmill("show", undisturbed[0], "high/clip_000.wav")
    assert result.returncode == 2
    assert "no unit 'high/clip_000.wav'; there are, for example: high/clip_000.wav#0" in result.stderr


def test_plan_writes_nothing_and_sees_what_is_done(clips: Path, undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    arguments_of_plan = ["plan", *arguments(clips, tmp_path / "store")[1:]]
    result = latentmill(*arguments_of_plan)
    assert result.returncode == 0
    assert "12 files → " in result.stdout
    assert "not media  1 .csv" in result.stdout
    assert not (tmp_path / "store").exists()
    done = json.loads(latentmill("plan", *arguments(clips, undisturbed[0])[1:], "--json").stdout)
    assert (done["num_pending"], done["num_stored"]) == (0, len(LatentStore(undisturbed[0])))


def test_schema_is_json_schema() -> None:
    schema = json.loads(latentmill("schema", "encode").stdout)
    assert schema["properties"]["kind"]["const"] == "encode"
    assert schema["additionalProperties"] is False
    assert "seconds" in schema["$defs"]["SegmentSpec"]["properties"]["length_seconds"]["description"]
    assert set(json.loads(latentmill("schema").stdout)["discriminator"]["mapping"]) == {
        "encode",
        "evaluate",
        "generate",
        "mel",
        "reconstruct",
    }
    assert "did you mean encode" in latentmill("schema", "encod").stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["run", "encode_audio", "--set", "sead=1"], "sead: unknown field; did you mean 'seed'?"),
        (["run", "encode_audio", "--set=source.path=nowhere", "--set=output=out"], "does not exist"),
        (["run", "mel", "--set=source.path=.", "--set=output=out"], "no media files"),
        (["status", "nowhere"], "nowhere: not a store"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run"], "Missing argument 'SPEC'"),
    ],
)
def test_wrong_usage_exits_with_2_and_leaves_nothing(command: list[str], message: str, tmp_path: Path) -> None:
    result = latentmill(*command, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_there(clips: Path, tmp_path: Path) -> None:
    changes = {"model": f"{{kind: autoencoder_kl, weights: {tmp_path}}}", "model.weights": tmp_path}
    plain = [part for part in arguments(clips, tmp_path / "store", **changes) if "base_channels" not in part]
    result = latentmill(*plain)
    assert result.returncode == 2
    assert f"model: no config.json in {tmp_path}" in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_failure_budget_decides_the_exit_code(make_clips: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_clips(4)
    (folder / "broken.wav").write_text("no recording")
    values = values_of(folder, tmp_path / "store", **{"limits.max_failed": 0})
    assert run_in_a_loop(load_job("encode_audio", values)).num_new > 0
    beyond = latentmill("run", "encode_audio", *(f"--set={value}" for value in values), "--json")
    assert beyond.returncode == 3
    assert json.loads(beyond.stdout)["budget_exceeded"] is True
    status = latentmill("status", tmp_path / "store").stdout
    assert "1 × probe: " in status
    assert "(such as broken.wav#0)" in status


@pytest.mark.usefixtures("local_ray")
def test_a_killed_driver_loses_nothing_and_repeats_nothing(
    clips: Path, undisturbed: tuple[Path, str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    process = started([*COMMAND, *arguments(clips, store)])
    wait_for_parts(process, store, 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    committed = times_of(store)
    assert 0 < len(committed) < len(parts_of(undisturbed[0]))
    assert json.loads(latentmill("status", store, "--json").stdout)["state"] == "running"
    resumed = run_job(load_job("encode_audio", values_of(clips, store)))  # on the Ray that is there already
    assert committed.items() <= times_of(store).items()
    assert resumed.num_kept >= 8
    assert digest(store) == digest(undisturbed[0])


@pytest.mark.parametrize("interruption", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_says_how_to_go_on(clips: Path, tmp_path: Path, interruption: signal.Signals) -> None:
    store = tmp_path / "store"
    process = started([*COMMAND, *arguments(clips, store)])
    wait_for_parts(process, store, 1)
    process.send_signal(interruption)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "interrupted; everything committed is kept. To go on:\n  latentmill run encode_audio --set=" in printed
    assert json.loads(latentmill("status", store, "--json").stdout)["state"] == "interrupted"


def test_help_lists_the_commands() -> None:
    printed = latentmill("--help").stdout
    for command in ("run", "plan", "status", "show", "verify", "replay", "diff", "export", "schema"):
        assert f"\n  {command}" in printed


def test_a_store_in_a_place_that_cannot_be_written(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = latentmill(*arguments(clips, tmp_path / "file" / "store"))
    assert result.returncode == 2
    assert f"output: cannot write to {tmp_path / 'file' / 'store'}" in result.stderr
    assert "Traceback" not in result.stderr
