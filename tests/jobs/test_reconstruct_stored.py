"""Stores of mels and latents become sound again, by the front end and the model that they were made with."""

import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from jobs.load import load_job
from jobs.outlook import describe_outlook, look_ahead
from jobs.report import write_report
from jobs.run import run_job
from jobs.summary import Summary, describe_summary
from jobs.verify import verify_store
from pipeline.quarantine import read_quarantine
from pipeline.store import LatentStore
from pipeline.stored_tensors import read_tensors
from tests.jobs.stores import run_in_a_loop

SETTINGS: dict[str, Any] = {"microbatch": 4, "griffin_lim": {"num_iterations": 2}}


def run(
    kind: str, source: Path | str, output: Path, *, by: Callable[..., Summary] = run_in_a_loop, **fields: Any
) -> Summary:
    """Runs a spec that was written as a file."""
    spec = output.with_suffix(".yaml")
    spec.write_text(yaml.safe_dump({"kind": kind, "source": {"path": str(source)}, "output": str(output), **fields}))
    return by(load_job(str(spec), []))


def reconstruct(source: Path | str, output: Path, **fields: Any) -> Summary:
    return run("reconstruct", source, output, **{"methods": ["griffin_lim"], **SETTINGS, **fields})


@pytest.fixture(scope="module")
def mels(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of mels of many lengths, with captions."""
    store = tmp_path_factory.mktemp("mels") / "store"
    segment = {"length_seconds": 1.0, "tail": "keep", "bucket_seconds": 0.16}
    mel = {"preset": "audioldm2"}
    run("mel", clips / "captions.csv", store, segment=segment, mel=mel, dtype="float32", microbatch=4)
    return store


@pytest.fixture(scope="module")
def vae(tiny_autoencoder_kl: Callable[..., Path]) -> Path:
    return tiny_autoencoder_kl()


@pytest.fixture(scope="module")
def latents(clips: Path, vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of moments, in float32."""
    store = tmp_path_factory.mktemp("latents") / "store"
    model = {"kind": "autoencoder_kl", "weights": str(vae)}
    mel = {"preset": "audioldm2"}
    segment = {"length_seconds": 1.0}
    run("encode", clips, store, segment=segment, mel=mel, model=model, dtype="float32", microbatch=4)
    return store


def sounds(store: Path | str, column: str) -> dict[str, np.ndarray]:
    """What each unit of a store sounds like."""
    heard = {
        row["sample_id"]: row[column]["bytes"] for row in LatentStore(store).select(["sample_id", column]).to_pylist()
    }
    return {name: soundfile.read(io.BytesIO(flac), dtype="int32")[0] for name, flac in heard.items()}


def test_mels_sound_as_their_recordings_do(mels: Path, tmp_path: Path) -> None:
    made = reconstruct(mels, tmp_path / "sounds")
    stored = LatentStore(mels)
    assert made.num_units == len(stored) == made.manifest.totals.num_units
    assert "caption" in LatentStore(made.store).columns
    for row in LatentStore(made.store).select(["source", "duration_seconds", "griffin_lim", "caption"]).to_pylist():
        own = stored.by_id(row["source"], ["duration_seconds", "caption"])
        assert (row["duration_seconds"], row["caption"]) == (own["duration_seconds"], own["caption"])
        info = soundfile.info(io.BytesIO(row["griffin_lim"]["bytes"]))
        assert (info.samplerate, info.frames) == (16_000, round(16_000 * own["duration_seconds"]))
    assert "note      source is a store of mels" in describe_summary(made)


def test_model_and_front_end_are_those_of_the_store(latents: Path, vae: Path, tmp_path: Path) -> None:
    made = reconstruct(latents, tmp_path / "sounds")
    spec = LatentStore(made.store).spec
    assert spec["model"]["weights"] == str(vae)
    assert (spec["mel"]["hop_length"], spec["segment"]["length_seconds"]) == (160, 1.0)
    found = verify_store(made.store, fraction=1.0)
    assert found.sound, found.findings
    assert found.recomputation is not None
    assert found.recomputation.num_equal == made.num_units


@pytest.mark.slow
def test_one_digest_for_any_blocks_and_a_copy_of_the_weights(latents: Path, vae: Path, tmp_path: Path) -> None:
    first = reconstruct(latents, tmp_path / "first", placement={"units_per_block": 2})
    shutil.copytree(vae, tmp_path / "copy")
    model = {"kind": "autoencoder_kl", "weights": str(tmp_path / "copy")}
    second = reconstruct(latents, tmp_path / "second", placement={"units_per_block": 5}, model=model)
    assert first.manifest.content_digest == second.manifest.content_digest
    assert first.manifest.identity == second.manifest.identity
    again = run_in_a_loop(load_job(f"{first.store}/job.yaml", [f"output={tmp_path / 'again'}"]))
    assert again.manifest.content_digest == first.manifest.content_digest


def test_a_waveform_vae_from_recording_to_latents_to_sound(
    clips: Path, tiny_oobleck: Callable[..., Path], tmp_path: Path
) -> None:
    model = {"kind": "autoencoder_oobleck", "weights": str(tiny_oobleck())}
    segment = {"length_seconds": 1.0}
    encoded = run("encode", clips, tmp_path / "latents", model=model, segment=segment, dtype="float32", microbatch=4)
    spec = LatentStore(encoded.store).spec
    assert (spec["mel"], spec["audio"]["channels"]) == (None, "stereo")
    assert LatentStore(encoded.store)[0]["latent_mean"].shape == (8, 100)
    heard = run("reconstruct", encoded.store, tmp_path / "heard", microbatch=4)
    direct = run("reconstruct", clips, tmp_path / "direct", model=model, segment=segment, microbatch=4)
    assert "decode_snr_db" in LatentStore(direct.store).columns
    of_latents, of_clips = sounds(heard.store, "decode"), sounds(direct.store, "decode")
    assert of_latents.keys() == {f"{name}#0" for name in of_clips}
    for name, sound in of_clips.items():
        assert sound.shape[1:] == (2,)
        np.testing.assert_array_equal(of_latents[f"{name}#0"], sound)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mel": {"preset": "audioldm2", "hop_length": 200}}, r"mel.hop_length is 200 and the store's 160"),
        ({"segment": {"length_seconds": 5.0}}, r"segment.length_seconds is 5.0 and the store's 1.0"),
        ({"audio": {"channels": "stereo"}}, r"audio.channels is stereo and the store's mono"),
        ({"model": None}, r"model is null, but .* holds latents: leave model out"),
        ({"model": {"kind": "autoencoder_kl", "weights": "random"}}, r"other weights than those that made the latents"),
        ({"model": {"kind": "audio_vae"}}, r"model.kind is audio_vae and the store's autoencoder_kl"),
        (
            {"model": {"kind": "autoencoder_kl", "weights": "random", "mel_layout": "frequency_first"}},
            r"model.mel_layout is frequency_first and the store's time_first",
        ),
        ({"methods": ["decode"]}, r"^methods has decode, but only a VAE of waveforms decodes to sound: leave it out$"),
        ({"mel": None}, r"mel is null and the store's set"),
        ({"methods": []}, r"^methods: tuple should have at least 1 item after validation, not 0, got \(\)$"),
    ],
)
def test_what_the_store_was_not_made_with_is_refused(
    latents: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        reconstruct(latents, tmp_path / "sounds", **fields)


def test_latents_are_not_decoded_by_weights_that_took_the_place_of_theirs(
    clips: Path, tiny_autoencoder_kl: Callable[..., Path], tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(tiny_autoencoder_kl(), weights)
    model = {"kind": "autoencoder_kl", "weights": str(weights)}
    segment = {"length_seconds": 1.0, "max_segments": 1}
    encoded = run("encode", clips, tmp_path / "latents", mel={"preset": "audioldm2"}, model=model, segment=segment)
    shutil.copytree(tiny_autoencoder_kl(seed=1), weights, dirs_exist_ok=True)
    with pytest.raises(ValueError, match=r"other weights than those that made the latents .* put those back"):
        reconstruct(encoded.store, tmp_path / "sounds")


def test_mels_that_cannot_be_taken_are_refused_at_once(clips: Path, vae: Path, tmp_path: Path) -> None:
    common = {"mel": {"preset": "audioldm2"}, "microbatch": 4}
    run("mel", clips, tmp_path / "odd", segment={"length_seconds": 0.5, "max_segments": 1}, **common)
    with pytest.raises(ValueError, match="multiples of 4 mel bands and frames, got 64 bands and 50 frames"):
        reconstruct(tmp_path / "odd", tmp_path / "one", model={"kind": "autoencoder_kl", "weights": str(vae)})
    segment = {"length_seconds": 0.5, "max_segments": 1}
    run("mel", clips, tmp_path / "kept", segment=segment, audio={"channels": "keep"}, **common)
    for fields in ({}, {"audio": {"channels": "stereo"}}):
        with pytest.raises(ValueError, match=r"audio.channels: keep.*give a store that was made with mono or stereo"):
            reconstruct(tmp_path / "kept", tmp_path / "two", **fields)


def test_what_can_be_told_while_the_source_is_away(mels: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(mels, source)
    made = reconstruct(source, tmp_path / "sounds")
    source.rename(tmp_path / "moved")
    with pytest.raises(ValueError, match=r"made of a store of mels, which is not at the source.path"):
        verify_store(made.store, fraction=1.0)
    assert reconstruct(tmp_path / "moved", tmp_path / "sounds").num_new == 0
    assert verify_store(made.store, fraction=1.0).sound
    (tmp_path / "moved" / "job.yaml").unlink()
    assert "audio/flac" in Path(write_report(made.store, to=str(tmp_path / "page.html")).file).read_text()


def test_a_store_that_keeps_less_than_is_asked_for(clips: Path, vae: Path, tmp_path: Path) -> None:
    common = {"model": {"kind": "autoencoder_kl", "weights": str(vae)}, "mel": {"preset": "audioldm2"}, "microbatch": 4}
    segment = {"length_seconds": 1.0, "max_segments": 1}
    for kept in ("mean", "sample"):
        run("encode", clips, tmp_path / kept, latent=kept, segment=segment, **common)
    with pytest.raises(ValueError, match="keeps the mean alone: set latent: mean"):
        reconstruct(tmp_path / "mean", tmp_path / "one", latent="sample")
    with pytest.raises(ValueError, match="keeps one draw of each: leave latent out"):
        reconstruct(tmp_path / "sample", tmp_path / "two", latent="mean")
    drawn = reconstruct(tmp_path / "sample", tmp_path / "three")
    assert LatentStore(drawn.store).spec["latent"] == "sample"


def test_settings_of_the_source_that_mean_nothing_are_refused(latents: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    source = {"path": str(latents), "id_column": "caption"}
    spec.write_text(yaml.safe_dump({"kind": "reconstruct", "source": source, "output": str(tmp_path / "store")}))
    with pytest.raises(ValueError, match=r"source.id_column: means nothing where source.path is a store of tensors"):
        look_ahead(load_job(str(spec), ["methods=[griffin_lim]"]))


def test_a_tensor_of_another_length_costs_its_own_unit(mels: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(mels, broken)
    part = min((broken / "data").glob("*.parquet"))
    table = pq.read_table(part)
    values = table["mel"].to_pylist()
    values[0] = values[0][:-4]
    pq.write_table(table.set_column(table.schema.get_field_index("mel"), table.schema.field("mel"), [values]), part)
    made = reconstruct(broken, tmp_path / "sounds", limits={"max_failed_fraction": 1})
    assert made.manifest.totals.num_quarantined == 1
    assert made.manifest.totals.num_units == len(LatentStore(mels)) - 1


def reasons(store: str) -> list[str]:
    found: list[str] = read_quarantine(store)["reason"].to_pylist()
    return found


def test_a_part_that_is_away_for_a_while_is_read_when_it_is_back(mels: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(mels, source)
    part = min((source / "data").glob("*.parquet"))

    def read_without_it(units: pa.Table, tensors: Sequence[str]) -> pa.Table:
        part.rename(tmp_path / part.name)
        try:
            return read_tensors(units, tensors)
        finally:
            (tmp_path / part.name).rename(part)

    with patch("pipeline.stored_tensors.read_tensors", read_without_it):
        made = reconstruct(source, tmp_path / "sounds", limits={"max_failed_fraction": 1})
    assert made.manifest.totals.num_quarantined > 0
    assert any("its store may have written these units elsewhere" in reason for reason in reasons(made.store))
    made = reconstruct(source, tmp_path / "sounds")
    assert (made.manifest.totals.num_quarantined, made.manifest.totals.num_units) == (0, made.num_units)


def test_the_dry_run_and_the_report_know_what_it_is(mels: Path, tmp_path: Path) -> None:
    made = reconstruct(mels, tmp_path / "sounds")
    spec = tmp_path / "sounds.yaml"
    assert f"{len(LatentStore(mels)):,} stored units → " in describe_outlook(look_ahead(load_job(str(spec), [])))
    page = Path(write_report(made.store, to=str(tmp_path / "page.html")).file).read_text()
    assert "audio/flac" in page


@pytest.mark.usefixtures("local_ray")
def test_through_ray_as_in_a_loop(mels: Path, tmp_path: Path) -> None:
    here = reconstruct(mels, tmp_path / "here")
    there = reconstruct(mels, tmp_path / "there", by=run_job, placement={"actors": 2, "units_per_block": 4})
    assert there.manifest.content_digest == here.manifest.content_digest


@pytest.mark.parametrize("kept", ["its ids", "another type"])
def test_units_that_were_made_anew_are_heard_anew(clips: Path, tmp_path: Path, kept: str) -> None:
    settings = {"mel": {"preset": "audioldm2"}, "segment": {"length_seconds": 1.0}, "microbatch": 4}
    source, mels = tmp_path / "source", tmp_path / "mels"
    source.mkdir()
    for file in sorted(clips.rglob("*.wav"))[:2]:
        shutil.copy(file, source)
    run("mel", source, mels, **settings)
    first = reconstruct(mels, tmp_path / "sounds")
    if kept == "its ids":
        changed = min(source.iterdir())
        samples, rate = soundfile.read(changed)
        soundfile.write(changed, np.random.default_rng(0).uniform(-0.5, 0.5, samples.shape), rate)
        run("mel", source, mels, **settings)
    else:
        shutil.rmtree(mels)
        run("mel", source, mels, dtype="float32", **settings)
    told = describe_outlook(look_ahead(load_job(str(tmp_path / "sounds.yaml"), [])))
    assert "changed" in told
    made = reconstruct(mels, tmp_path / "sounds")
    assert 0 < made.num_new <= made.num_units
    assert (made.num_new < made.num_units) == (kept == "its ids")
    fresh = reconstruct(mels, tmp_path / "fresh")
    assert made.manifest.content_digest == fresh.manifest.content_digest != first.manifest.content_digest
    assert reconstruct(mels, tmp_path / "sounds").num_new == 0


def test_a_growing_store_gives_what_it_has_gained(clips: Path, tmp_path: Path) -> None:
    settings = {"mel": {"preset": "audioldm2"}, "segment": {"length_seconds": 1.0}, "microbatch": 4}
    source = tmp_path / "source"
    source.mkdir()
    new = []
    for file in sorted(clips.rglob("*.wav"))[:2]:
        shutil.copy(file, source)
        run("mel", source, tmp_path / "mels", **settings)
        made = reconstruct(tmp_path / "mels", tmp_path / "sounds")
        assert made.manifest.totals.num_units == len(LatentStore(tmp_path / "mels"))
        new.append(made.num_new)
    assert min(new) > 0
    assert sum(new) == made.num_units
