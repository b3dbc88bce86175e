import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from workers.models.audio_vae import AudioVAE
from workers.models.audio_vae_spec import AudioVaeConfig, AudioVaeSpec
from workers.models.diffusers_vae_spec import DiffusersVaeSpec
from workers.models.weights import weights_digest


def test_random_weights_are_their_settings() -> None:
    digest = weights_digest(AudioVaeSpec(weights="random"))
    assert digest == weights_digest(AudioVaeSpec(weights="random", seed=0))
    assert digest != weights_digest(AudioVaeSpec(weights="random", seed=1))
    assert digest != weights_digest(AudioVaeSpec(weights="random", base_channels=32))
    assert weights_digest(DiffusersVaeSpec(weights="random")) != weights_digest(
        DiffusersVaeSpec(weights="random", seed=1)
    )


def test_digest_follows_weights_and_config_but_not_the_folder(tmp_path: Path) -> None:
    model = AudioVAE(AudioVaeConfig(base_channels=4, num_res_blocks=1))
    model.save(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    digest = weights_digest(AudioVaeSpec(weights=str(tmp_path / "a")))
    assert digest == weights_digest(AudioVaeSpec(weights=str(tmp_path / "b")))
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1.0
    model.save(tmp_path / "b")
    assert digest != weights_digest(AudioVaeSpec(weights=str(tmp_path / "b")))


def test_digest_ignores_the_notes_of_save_pretrained(tiny_autoencoder_kl: Callable[..., Path]) -> None:
    folder = tiny_autoencoder_kl()
    spec = DiffusersVaeSpec(weights=str(folder))
    digest = weights_digest(spec)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "_diffusers_version": "9.9", "_name_or_path": "elsewhere"}))
    assert weights_digest(spec) == digest
    path.write_text(json.dumps({**config, "scaling_factor": 0.5}))
    assert weights_digest(spec) != digest
    assert weights_digest(DiffusersVaeSpec(weights=str(tiny_autoencoder_kl(seed=1)))) != digest
