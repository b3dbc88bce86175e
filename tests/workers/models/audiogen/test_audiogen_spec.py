"""A spec names a model's parts, finds those that it does not name, and gives them one identity."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.workers.models.audiogen.checkpoints import Lm, write_checkpoint
from tests.workers.models.audiogen.musicgens import save_musicgen
from tests.workers.models.audiogen.references import reference_folder
from tests.workers.models.audiogen.t5s import save_t5
from workers.models.audiogen.audiogen_spec import LICENCE_NOTE, AudioGenSpec
from workers.models.audiogen.codec import Codec
from workers.models.audiogen.load_audiogen import audiogen_digest, load_text_encoder, load_weights
from workers.models.audiogen.text_encoder_spec import TextEncoderSpec


def with_t5(folder: Path, *, text_dim: int = 20) -> AudioGenSpec:
    """A model of audiocraft's files and a T5 beside it."""
    write_checkpoint(folder / "model")
    save_t5(folder / "t5", d_model=text_dim)
    return AudioGenSpec(
        weights=str(folder / "model"), text_encoder=TextEncoderSpec(weights=str(folder / "t5"))
    ).resolved()[0]


def test_a_spec_imports_no_torch() -> None:
    code = "import sys, workers.models.audiogen.audiogen_spec; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_random_model_needs_no_files() -> None:
    spec, notes = AudioGenSpec(weights="random", seed=4).resolved()
    assert notes == ()
    assert spec.text_encoder == TextEncoderSpec(weights="random", random_dim=32, seed=4)
    checkpoint = load_weights(spec)
    assert checkpoint.shape == spec.shape()
    assert load_text_encoder(spec).encode(["wind"]).hidden.shape == (1, 5, 32)
    Codec(checkpoint.shape, checkpoint.codec_state)
    assert load_weights(spec, dtype=torch.float16).lm_state["heads.weight"].dtype == torch.float16


def test_audiocrafts_files_and_a_t5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path / "model")
    save_t5(tmp_path / "t5", d_model=20)
    monkeypatch.chdir(tmp_path)
    spec, notes = AudioGenSpec(weights="model", text_encoder=TextEncoderSpec(weights="t5")).resolved()
    assert spec.weights == str(tmp_path / "model")
    assert spec.text_encoder is not None
    assert spec.text_encoder.weights == str(tmp_path / "t5")
    assert notes == (LICENCE_NOTE,)
    assert load_weights(spec).shape == spec.shape()
    assert load_text_encoder(spec).text_dim == 20


def test_the_reference_model() -> None:
    weights = str(reference_folder("ckpt_A"))
    text_encoder = TextEncoderSpec(weights=str(reference_folder("t5-small")))
    spec, _ = AudioGenSpec(weights=weights, text_encoder=text_encoder).resolved()
    assert load_text_encoder(spec).text_dim == load_weights(spec).shape.lm.text_dim == 512


def test_a_musicgen_brings_its_text_encoder(tmp_path: Path) -> None:
    save_t5(tmp_path)  # for its tokenizer
    save_musicgen(tmp_path)
    spec, _ = AudioGenSpec(weights=str(tmp_path)).resolved()
    assert spec.text_encoder == TextEncoderSpec(weights=str(tmp_path))
    assert load_text_encoder(spec).encode(["rain"]).hidden.shape == (1, 2, 20)


def test_the_t5_that_a_file_names_comes_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    write_checkpoint(tmp_path / "model")
    cache = tmp_path / "snapshots" / "0123"
    save_t5(cache, d_model=20)
    asked = []

    def download(hub_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((hub_id, revision, "spiece.model" in allow_patterns))
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    spec, notes = AudioGenSpec(weights=str(tmp_path / "model")).resolved()
    assert spec.text_encoder == TextEncoderSpec(weights="google-t5/t5-base", revision="0123")
    assert notes[0].startswith("weights are google-t5/t5-base at commit 0123")
    load_text_encoder(spec)
    assert asked == [("google-t5/t5-base", None, False), ("google-t5/t5-base", "0123", True)]


def test_a_missing_t5_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    text_encoder = TextEncoderSpec(weights=str(tmp_path / "t5"))
    with pytest.raises(
        ValueError, match=r"needs the text encoder .*, and text_encoder\.weights is .*/t5: no such model"
    ):
        AudioGenSpec(weights=str(tmp_path), text_encoder=text_encoder).resolved()


def test_another_t5_is_refused(tmp_path: Path) -> None:
    spec = with_t5(tmp_path, text_dim=24)
    with pytest.raises(ValueError, match=r"states of width 24, and .*model takes 20: give the one .* \(t5-base\)"):
        load_text_encoder(spec)


def test_an_unresolved_spec_is_refused() -> None:
    for use in (load_text_encoder, audiogen_digest):
        with pytest.raises(ValueError, match="text_encoder is still null; call resolved"):
            use(AudioGenSpec(weights="random"))
    with pytest.raises(ValueError, match="random weights have no files"):
        AudioGenSpec(weights="random").files()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weights": "random", "codec": "here"}, "weights is random, and codec, codec_revision or revision is given"),
        ({"weights": "here", "codec_revision": "main"}, "codec_revision is given without codec"),
        ({"weights": "random", "size": "huge"}, "size"),
    ],
)
def test_settings_that_disagree(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AudioGenSpec.model_validate(settings)


def test_the_digest_covers_all_parts_and_no_places(tmp_path: Path) -> None:
    spec = with_t5(tmp_path / "one")
    digest = audiogen_digest(spec)
    assert audiogen_digest(with_t5(tmp_path / "two")) == digest
    write_checkpoint(tmp_path / "two" / "model", lm=Lm(changes={"transformer_lm.max_period": 9}))
    moved = AudioGenSpec(weights=str(tmp_path / "two" / "model"), text_encoder=spec.text_encoder)
    assert audiogen_digest(moved) != digest
    other_codec = spec.model_copy(update={"codec": str(write_checkpoint(tmp_path / "three", seed=1))})
    assert audiogen_digest(other_codec) != digest
    other_text = with_t5(tmp_path / "four", text_dim=24).text_encoder
    assert audiogen_digest(spec.model_copy(update={"text_encoder": other_text})) != digest


def test_the_digest_of_random_weights() -> None:
    digests = {
        audiogen_digest(AudioGenSpec.model_validate({"weights": "random", **settings}).resolved()[0])
        for settings in (
            {},
            {"seed": 1},
            {"size": "musicgen-small"},
            {"text_encoder": {"weights": "random", "seed": 2}},
        )
    }
    assert len(digests) == 4
