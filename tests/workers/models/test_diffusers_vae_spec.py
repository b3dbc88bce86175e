"""Which files a spec stands for, against a made-up hub."""

import json
from pathlib import Path

import pytest

from workers.encode_worker_spec import EncodeWorkerSpec
from workers.models.checkpoint import _read_config
from workers.models.diffusers_vae_spec import AUDIOLDM2_CONFIG, DiffusersVaeSpec

NEWEST, TAGGED = "a1" * 20, "b2" * 20


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str | None]:
    """A hub with one pipeline and two commits; the revisions that were asked for."""
    import huggingface_hub

    asked: list[str | None] = []
    _read_config.cache_clear()
    for commit in (NEWEST, TAGGED):
        folder = tmp_path / "snapshots" / commit / "vae"
        folder.mkdir(parents=True)
        config = AUDIOLDM2_CONFIG | {"scaling_factor": 0.25 if commit == NEWEST else 0.5}
        (folder / "config.json").write_text(json.dumps(config))

    def download(hub_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert hub_id == "someone/pipeline"
        assert "vae/config.json" in allow_patterns
        asked.append(revision)
        return str(tmp_path / "snapshots" / {None: NEWEST, "v1": TAGGED}.get(revision, revision))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("revision", "commit", "meaning"), [(None, NEWEST, "the newest revision"), ("v1", TAGGED, "revision v1")]
)
def test_a_hub_id_is_pinned_to_the_commit(revision: str | None, commit: str, meaning: str) -> None:
    resolved, (note,) = DiffusersVaeSpec(weights="someone/pipeline", revision=revision).resolved()
    assert resolved == DiffusersVaeSpec(weights="someone/pipeline", revision=commit)
    assert note == f"weights are someone/pipeline at commit {commit}, which {meaning} stands for"
    assert resolved.resolved() == (resolved, ())
    assert resolved.scale_factor == (0.25 if commit == NEWEST else 0.5)


def test_the_hub_is_not_asked_for_every_block(hub: list[str | None]) -> None:
    spec = EncodeWorkerSpec(
        model={"kind": "autoencoder_kl", "weights": "someone/pipeline", "revision": NEWEST}, mel={"preset": "audioldm2"}
    )
    for blocks in range(1, 4):
        assert spec.outputs(blocks * spec.alignment_samples, 1)[0].shape == (8, blocks, 16)
    assert hub == [NEWEST]


def test_a_folder_wins_over_the_hub(hub: list[str | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "someone" / "pipeline").mkdir(parents=True)
    (tmp_path / "random").mkdir()
    monkeypatch.chdir(tmp_path)
    folder = str(tmp_path / "someone" / "pipeline")
    assert DiffusersVaeSpec(weights="someone/pipeline").resolved() == (DiffusersVaeSpec(weights=folder), ())
    assert DiffusersVaeSpec(weights="random").resolved() == (DiffusersVaeSpec(weights="random"), ())
    assert hub == []


def test_refuses_what_is_neither_folder_nor_hub_id() -> None:
    spec = DiffusersVaeSpec(weights="/no/such/folder")
    for use in (spec.resolved, spec.checkpoint, spec.config):
        with pytest.raises(ValueError, match=r"no such model folder: /no/such/folder \(a hub id would look like"):
            use()
