from pathlib import Path

import pytest
from pydantic import ValidationError

from workers.models import audio_vae_spec
from workers.models.audio_vae_spec import AudioVaeSpec
from workers.models.weights import weights_digest


def test_dump_round_trips() -> None:
    spec = AudioVaeSpec(weights="random", base_channels=16, seed=4)
    assert AudioVaeSpec(**spec.model_dump()) == spec
    assert AudioVaeSpec(**AudioVaeSpec().model_dump()) == AudioVaeSpec()


def test_architecture_is_fixed_by_the_weights() -> None:
    with pytest.raises(ValidationError, match="base_channels, seed can only be set with weights: random"):
        AudioVaeSpec(weights="some/folder", base_channels=16, seed=1)


def test_embedded_weights_that_are_not_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(audio_vae_spec, "EMBEDDED_FOLDER", tmp_path / "none")
    embedded, seeded = AudioVaeSpec(), AudioVaeSpec(weights="random")
    assert not embedded.is_trained
    assert embedded.config() == seeded.config()
    assert weights_digest(embedded) == weights_digest(seeded)
    resolved, (note,) = embedded.resolved()
    assert resolved == embedded
    assert "weights are untrained: this version embeds none" in note


@pytest.mark.parametrize("name", ["embedded", "random"])
def test_reserved_names_are_no_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert AudioVaeSpec(weights=name).resolved()[0].weights == name


def test_resolved_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models" / "vae").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "models")
    monkeypatch.setenv("HOME", str(tmp_path))
    for weights in ("vae", "../models/vae", "~/models/vae", Path("vae")):
        assert AudioVaeSpec(weights=weights).resolved() == (AudioVaeSpec(weights=str(tmp_path / "models/vae")), ())


def test_refuses_what_is_no_folder() -> None:
    spec = AudioVaeSpec(weights="no/such/folder")
    for use in (spec.resolved, spec.checkpoint, spec.config):
        with pytest.raises(ValueError, match="no such model folder: no/such/folder"):
            use()


def test_config_of_another_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"in_channels": 1}')
    with pytest.raises(ValueError, match="is not an AudioVAE's: Extra inputs"):
        AudioVaeSpec(weights=str(tmp_path)).config()
