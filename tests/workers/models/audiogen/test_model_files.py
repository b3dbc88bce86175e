"""A model is found in either format, here, at a URI or on the hub, and a codec elsewhere where it only names one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from tests.workers.models.audiogen.checkpoints import Lm, write_checkpoint
from tests.workers.models.audiogen.musicgens import save_musicgen
from workers.models.audiogen.model_files import find_model

CODEC = "compression_state_dict.bin"


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A file system in memory, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    filesystem = fsspec.filesystem("memory", skip_instance_cache=True)
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Folders that stand for models on the hub, by id; the client gives them whole."""
    import huggingface_hub

    folders: dict[str, Path] = {}

    def download(hub_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert (revision, bool(allow_patterns)) == ("main", True)
        return str(folders[hub_id])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return folders


def only_names_its_codec(folder: Path) -> Path:
    torch.save({"pretrained": "facebook/encodec_32khz", "exported": True, "version": "1"}, folder / CODEC)
    return folder


def test_audiocrafts_format(tmp_path: Path) -> None:
    files = find_model(str(write_checkpoint(tmp_path)))
    assert files.shape() == files.load().shape
    assert files.shape().text_encoder == "t5-base"
    assert [path.name for path in files.weight_paths] == ["state_dict.bin", CODEC]
    assert not files.has_text_encoder


def test_transformers_format(tmp_path: Path) -> None:
    save_musicgen(tmp_path)
    files = find_model(str(tmp_path))
    assert files.shape() == files.load().shape
    assert files.shape().lm.card == 64
    assert [path.name for path in files.weight_paths] == ["model.safetensors"]
    assert files.has_text_encoder


def test_a_folder_with_both_is_read_in_transformers_format(tmp_path: Path) -> None:
    """It holds the codec, which audiocraft's files of MusicGen only name."""
    save_musicgen(tmp_path)
    only_names_its_codec(write_checkpoint(tmp_path))
    assert find_model(str(tmp_path)).shape().lm.card == 64


def test_at_a_uri(tmp_path: Path, memory: Any) -> None:
    folder = write_checkpoint(tmp_path / "model")
    for path in folder.iterdir():
        memory.pipe_file(f"/models/sounds/{path.name}", path.read_bytes())
    files = find_model("memory://models/sounds")
    assert {path.parent.parent.name for path in files.weight_paths} == {"weights"}
    here, there = find_model(str(folder)).load(), files.load()
    assert there.shape == here.shape
    assert all(torch.equal(there.lm_state[name], tensor) for name, tensor in here.lm_state.items())


def test_on_the_hub(tmp_path: Path, hub: dict[str, Path]) -> None:
    hub["someone/sounds"] = write_checkpoint(tmp_path)
    assert find_model("someone/sounds", revision="main").shape().sample_rate == 6000


def test_a_codec_that_is_only_named_comes_from_the_hub(tmp_path: Path, hub: dict[str, Path]) -> None:
    model = save_musicgen(tmp_path / "musicgen", sampling_rate=3000)
    model.audio_encoder.save_pretrained(tmp_path / "codec")
    hub["facebook/encodec_32khz"] = tmp_path / "codec"
    changes = {"sample_rate": 3000}
    folder = only_names_its_codec(write_checkpoint(tmp_path / "model", lm=Lm(card=64, changes=changes)))
    files = find_model(str(folder), codec="facebook/encodec_32khz", codec_revision="main")
    assert [path.name for path in files.weight_paths] == ["state_dict.bin", "model.safetensors"]
    checkpoint, expected = files.load(), find_model(str(tmp_path / "musicgen")).load()
    assert checkpoint.shape == files.shape()
    assert checkpoint.shape.codec == expected.shape.codec
    assert all(torch.equal(checkpoint.codec_state[name], tensor) for name, tensor in expected.codec_state.items())
    for read in (find_model(str(folder)).load, find_model(str(folder)).shape):
        with pytest.raises(ValueError, match="holds no codec and names facebook/encodec_32khz: set codec to a folder"):
            read()


def test_another_folders_codec(tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "other", seed=1)
    files = find_model(str(write_checkpoint(tmp_path / "model")), codec=str(other))
    assert files.weight_paths == (tmp_path / "model" / "state_dict.bin", other / CODEC)
    state, expected = files.load().codec_state, find_model(str(other)).load().codec_state
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_a_musicgen_keeps_its_own_codec(tmp_path: Path) -> None:
    save_musicgen(tmp_path)
    with pytest.raises(ValueError, match=r"holds its own codec: leave out codec \(elsewhere\)"):
        find_model(str(tmp_path), codec="elsewhere")


@pytest.mark.parametrize("config", [None, {"model_type": "bert"}])
def test_a_folder_of_something_else(tmp_path: Path, config: dict[str, str] | None) -> None:
    if config:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"holds no AudioGen or MusicGen: expected state_dict\.bin and compression"):
        find_model(str(tmp_path))
    model = write_checkpoint(tmp_path / "model")
    with pytest.raises(ValueError, match=r"holds no codec: expected compression_state_dict\.bin, as audiocraft"):
        find_model(str(model), codec=str(tmp_path))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such model folder: .*/nowhere"):
        find_model(str(tmp_path / "nowhere"))
