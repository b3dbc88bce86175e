"""Codes of codecs, and latents of waveforms, as stores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jobs.load import load_job
from jobs.outlook import look_ahead
from jobs.summary import Summary
from jobs.verify import verify_store
from pipeline.store import LatentStore
from tests.jobs.stores import run_in_a_loop
from tests.workers.models.codec_folders import HOPS, NUM_CODEBOOKS, save_codec


def spec_of(source: Path, output: Path, **fields: Any) -> Any:
    file = output.with_suffix(".yaml")
    given = {"kind": "encode", "source": {"path": str(source)}, "output": str(output), "microbatch": 4, **fields}
    file.write_text(yaml.safe_dump({"segment": {"length_seconds": 1.0}, **given}))
    return load_job(str(file), [])


def encode(source: Path, output: Path, **fields: Any) -> Summary:
    return run_in_a_loop(spec_of(source, output, **fields))


@pytest.mark.parametrize(
    "kind", ["dac", pytest.param("encodec", marks=pytest.mark.slow), pytest.param("mimi", marks=pytest.mark.slow)]
)
def test_a_store_of_codes(clips: Path, tmp_path: Path, kind: str) -> None:
    save_codec(tmp_path / "codec", kind)
    model = {"kind": kind, "weights": str(tmp_path / "codec"), "num_codebooks": 3}
    made = encode(clips / "captions.csv", tmp_path / "store", model=model)
    store = LatentStore(made.store)
    assert (store.spec["mel"], store.spec["precision"]) == (None, "float32")
    row = store[0]
    assert row["codes"].shape == (3, 8_000 // HOPS[kind])
    assert row["codes"].dtype == np.uint16
    assert row["codes"].max() < 64
    assert "caption" in row
    again = encode(clips / "captions.csv", tmp_path / "again", model=model, placement={"units_per_block": 3})
    assert again.manifest.content_digest == made.manifest.content_digest
    found = verify_store(made.store, fraction=1.0)
    assert found.sound, found.findings


def test_stereo_codes_are_those_of_each_channel(clips: Path, tmp_path: Path) -> None:
    save_codec(tmp_path / "codec", "dac")
    model = {"kind": "dac", "weights": str(tmp_path / "codec")}
    made = encode(clips, tmp_path / "store", model=model, audio={"channels": "stereo"})
    assert LatentStore(made.store)[0]["codes"].shape == (2, NUM_CODEBOOKS, 1_000)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mel": {"preset": "audioldm2"}}, "mel is set, but model.kind dac takes waveforms: leave mel out"),
        ({"latent": "mean"}, "latent is mean, but model.kind dac gives codes: leave latent out"),
        ({"dtype": "float32"}, "dtype is float32, but model.kind dac gives codes"),
        ({"precision": "bfloat16"}, "precision is bfloat16, but model.kind dac gives codes"),
    ],
)
def test_settings_that_mean_nothing_to_a_codec(
    clips: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    save_codec(tmp_path / "codec", "dac")
    with pytest.raises(ValueError, match=message):
        look_ahead(
            spec_of(clips, tmp_path / "store", model={"kind": "dac", "weights": str(tmp_path / "codec")}, **fields)
        )


def test_codes_are_not_a_source_of_sound(clips: Path, tmp_path: Path) -> None:
    save_codec(tmp_path / "codec", "dac")
    made = encode(clips, tmp_path / "store", model={"kind": "dac", "weights": str(tmp_path / "codec")})
    with pytest.raises(ValueError, match="holds codes, which no method decodes"):
        look_ahead(spec_of(Path(made.store), tmp_path / "sounds", kind="reconstruct", segment={}))


def test_a_waveform_vae_says_how_many_channels(clips: Path, tmp_path: Path, tiny_oobleck: Any) -> None:
    model = {"kind": "autoencoder_oobleck", "weights": str(tiny_oobleck())}
    with pytest.raises(ValueError, match=r"audio.channels is mono, but model.weights .* takes stereo: leave it out"):
        look_ahead(spec_of(clips, tmp_path / "store", model=model, audio={"channels": "mono"}))
    mono = {"kind": "autoencoder_oobleck", "weights": str(tiny_oobleck(audio_channels=1))}
    made = encode(clips, tmp_path / "store", model=mono)
    assert LatentStore(made.store).spec["audio"]["channels"] == "mono"
    assert LatentStore(made.store)[0]["latent_mean"].shape == (8, 100)
