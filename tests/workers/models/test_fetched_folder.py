from pathlib import Path
from typing import Any

import pytest

from workers.models.audio_vae import AudioVAE
from workers.models.audio_vae_spec import AudioVaeConfig, AudioVaeSpec
from workers.models.fetched_folder import fetch_folder
from workers.models.weights import weights_digest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def put(memory: Any, folder: str, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        memory.pipe_file(f"/{folder}/{name}", content)


def test_weights_at_a_uri_are_those_of_the_folder(memory: Any, tmp_path: Path) -> None:
    AudioVAE(AudioVaeConfig(base_channels=4, num_res_blocks=1)).save(tmp_path / "vae")
    put(memory, "models/vae", {path.name: path.read_bytes() for path in (tmp_path / "vae").iterdir()})
    here, there = AudioVaeSpec(weights=str(tmp_path / "vae")), AudioVaeSpec(weights="memory://models/vae/")
    resolved, _ = there.resolved()
    assert resolved.weights == "memory://models/vae"
    assert resolved.config() == here.config()
    assert weights_digest(resolved) == weights_digest(here)


def test_just_what_matches_is_fetched_and_once(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(
        memory,
        "m",
        {"vae/config.json": b"{}", "vae/w.safetensors": b"1", "vae/w.bin": b"2", "unet/w.safetensors": b"3"},
    )
    folder = fetch_folder("memory://m", ["config.json", "w*.safetensors", "vae/config.json", "vae/w*.safetensors"])
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == [".lock", "vae/config.json", "vae/w.safetensors"]
    monkeypatch.setattr("workers.models.fetched_folder.open_file", lambda _: pytest.fail("fetched twice"))
    assert fetch_folder("memory://m", ["vae/config.json"]) == folder


def test_a_changed_file_is_fetched_anew(memory: Any) -> None:
    put(memory, "m", {"config.json": b"{}", "w.safetensors": b"old"})
    first = fetch_folder("memory://m", ["config.json", "w.safetensors"])
    put(memory, "m", {"w.safetensors": b"new"})
    second = fetch_folder("memory://m", ["config.json", "w.safetensors"])
    assert (first / "w.safetensors").read_bytes() == b"old"
    assert (second / "w.safetensors").read_bytes() == b"new"


def test_what_is_not_there_says_so(memory: Any) -> None:
    put(memory, "m", {"w.safetensors": b"1"})
    with pytest.raises(ValueError, match=r"no config\.json in memory://m: give the folder that save_pretrained"):
        fetch_folder("memory://m", ["config.json"])
    with pytest.raises(ValueError, match="cannot fetch the model from memory://nothing"):
        fetch_folder("memory://nothing", ["config.json"])
    with pytest.raises(ValueError, match="holds a user name or key") as caught:
        AudioVaeSpec(weights="s3://AKIA:hunter2@bucket/vae").resolved()
    assert "hunter2" not in str(caught.value)
