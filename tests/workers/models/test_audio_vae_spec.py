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


def test_config_of_another_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"in_channels": 1}')
    with pytest.raises(ValueError, match="is not an AudioVAE's: Extra inputs"):
        AudioVaeSpec(weights=str(tmp_path)).config()
