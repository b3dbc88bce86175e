"""Recordings through mel, VAE and vocoder: a store to listen to, and the study's table."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs.load import load_job
from jobs.recompute import Remaker
from jobs.run import run_job
from jobs.summary import Summary, describe_summary
from jobs.verify import verify_store
from pipeline.store import LatentStore
from tests.jobs.stores import run_in_a_loop
from tests.workers.models.hifigan_folders import config_of, write_hifigan
from workers.models.hifigan_spec import HifiganSpec
from workers.models.weights import weights_digest

SOUNDS = Path(__file__).parents[2] / "../shared/data/sounds"


@pytest.fixture(scope="module")
def pipeline_folder(tiny_autoencoder_kl: Callable[..., Path], tiny_hifigan: Callable[..., Path]) -> Path:
    """A folder with vae/ and vocoder/, as AudioLDM2's pipeline has them."""
    folder = tiny_autoencoder_kl(in_pipeline=True)
    tiny_hifigan(folder=folder / "vocoder")
    return folder


def reconstruct(
    source: Path, output: Path, models: Path, *, run: Callable[..., Summary] = run_in_a_loop, **more: Any
) -> Summary:
    """Runs the recipe on small models, with changed fields (`__` for a dot)."""
    settings = {
        "source.path": source,
        "output": output,
        "model.weights": models,
        "vocoder.weights": models,
        "segment.length_seconds": 1.0,
        "microbatch": 4,
        "griffin_lim.num_iterations": 4,
        **{name.replace("__", "."): value for name, value in more.items()},
    }
    return run(load_job("reconstruct_audioldm2", [f"{name}={value}" for name, value in settings.items()]))


@pytest.fixture(scope="module")
def made(clips: Path, pipeline_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return reconstruct(clips, tmp_path_factory.mktemp("reconstruct") / "store", pipeline_folder)


def test_the_table_of_the_study_is_printed(made: Summary) -> None:
    text = describe_summary(made)
    lines = text.splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.split()[:1] == ["method"]]
    assert lines[head].split()[1:5] == ["SNR", "dB", "correlation", "seconds"]
    for line, method in zip(lines[head + 1 :], ("griffin_lim", "vocoder"), strict=False):
        name, *numbers = line.split()
        assert name == method
        assert np.isfinite([float(number) for number in numbers]).all()


def test_sounds_are_flac_that_other_tools_read(made: Summary) -> None:
    import datasets

    store = LatentStore(made.store)
    row = store[0]
    for name in ("original", "griffin_lim", "vocoder"):
        samples, rate = soundfile.read(io.BytesIO(row[name]["bytes"]))
        assert rate == 16_000
        assert len(samples) == round(row["duration_seconds"] * rate)
        assert row[name]["path"] == f"{row['sample_id']}.flac"
    files = [str(path) for path in (Path(made.store) / "data").glob("*.parquet")]
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=f"{made.store}/cache")
    plain = loaded.cast_column("vocoder", datasets.Audio(decode=False))
    assert set(plain[0]["vocoder"]) == {"bytes", "path"}


def test_the_original_is_what_was_decoded(made: Summary, clips: Path) -> None:
    row = LatentStore(made.store).by_id("high/clip_000.wav#0")
    stored, _ = soundfile.read(io.BytesIO(row["original"]["bytes"]))
    samples, rate = soundfile.read(clips / "high/clip_000.wav", always_2d=True)
    assert rate == 16_000
    np.testing.assert_allclose(stored, samples.mean(axis=1)[: len(stored)], atol=1.0 / 32_768)


def test_times_are_in_no_digest(made: Summary, clips: Path, pipeline_folder: Path, tmp_path: Path) -> None:
    again = reconstruct(clips, tmp_path / "store", pipeline_folder, placement__units_per_block=3)
    assert again.manifest.content_digest == made.manifest.content_digest
    seconds = [LatentStore(store).select(["vocoder_seconds"])["vocoder_seconds"] for store in (made.store, again.store)]
    assert seconds[0] != seconds[1]


def test_units_are_made_again_bit_for_bit(made: Summary) -> None:
    found = verify_store(made.store, fraction=1.0)
    assert found.sound, found.findings
    assert found.recomputation is not None
    assert found.recomputation.num_equal == found.recomputation.num_units == made.num_units


def test_griffin_lim_needs_no_model(clips: Path, tmp_path: Path) -> None:
    job = load_job(
        "reconstruct_audioldm2",
        [
            f"source.path={clips}",
            f"output={tmp_path / 'store'}",
            "model=null",
            "methods=[griffin_lim]",
            "segment.length_seconds=1.0",
        ],
    )
    summary = run_in_a_loop(job)
    assert "vocoder" not in LatentStore(summary.store).columns
    assert set(Remaker(summary.store).job.model_dump()["methods"]) == {"griffin_lim"}


def test_kept_tails_vary_in_length(clips: Path, pipeline_folder: Path, tmp_path: Path) -> None:
    summary = reconstruct(
        clips, tmp_path / "store", pipeline_folder, segment__tail="keep", segment__bucket_seconds=0.32
    )
    for row in LatentStore(summary.store):
        info = soundfile.info(io.BytesIO(row["vocoder"]["bytes"]))
        assert info.frames == round(row["duration_seconds"] * 16_000)


def test_a_vocoder_that_does_not_fit_is_refused(clips: Path, pipeline_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mel.hop_length is 256 and the vocoder's 160"):
        reconstruct(clips, tmp_path / "store", pipeline_folder, mel__hop_length=256)


def test_a_hifigan_makes_sound_at_its_own_rate(clips: Path, tmp_path: Path) -> None:
    """At 22.05 kHz without a VAE, as the README says."""
    config = config_of(
        "2", num_mels=80, sampling_rate=22_050, upsample_rates=[8, 8, 2, 2], upsample_kernel_sizes=[16, 16, 4, 4]
    )
    folder = write_hifigan(tmp_path / "hifigan", {**config, "hop_size": 256})
    spec = tmp_path / "hifigan.yaml"
    spec.write_text(
        f"""
kind: reconstruct
source: {{path: {clips}}}
output: {tmp_path / "store"}
segment: {{length_seconds: 1.0, tail: pad}}
mel: {{preset: audiovae, sample_rate: 22050, n_fft: 1024, win_length: 1024, hop_length: 256, n_mels: 80, peak: 0.95}}
model: null
methods: [vocoder]
vocoder: {{kind: hifigan, weights: {folder}}}
microbatch: 4
"""
    )
    summary = run_in_a_loop(load_job(str(spec)))
    assert summary.manifest.environment["vocoder"] == weights_digest(HifiganSpec(weights=str(folder)))
    assert summary.manifest.totals.num_quarantined == 0
    for row in LatentStore(summary.store):
        assert soundfile.info(io.BytesIO(row["vocoder"]["bytes"])).samplerate == 22_050
    found = verify_store(summary.store, fraction=1.0)
    assert found.sound, found.findings


def test_a_hifigan_takes_audioldm2s_mels_after_its_vae(clips: Path, pipeline_folder: Path, tmp_path: Path) -> None:
    changes = {"vocoder__kind": "hifigan", "vocoder__weights": write_hifigan(tmp_path / "hifigan")}
    summary = reconstruct(clips, tmp_path / "store", pipeline_folder, **changes)
    assert summary.manifest.totals.num_quarantined == 0
    with pytest.raises(ValueError, match=r"mel.hop_length is 256 and the vocoder's 160"):
        reconstruct(clips, tmp_path / "other", pipeline_folder, **changes, mel__hop_length=256)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"vocoder.kind": "hifi_gan"},
            r"kind: must be one of speecht5_hifigan, hifigan, .*did you mean hifigan",
        ),
        (
            {"vocoder.kind": "hifigan", "vocoder.wieghts": "a"},
            r"vocoder.wieghts: unknown field; did you mean 'weights'",
        ),
        ({"vocoder.wieghts": "a"}, r"vocoder.wieghts: unknown field; did you mean 'weights'"),
        ({"vocoder": "{kind: hifigan}"}, r"vocoder.weights: required, but not given"),
    ],
)
def test_a_wrong_vocoder_is_explained(changes: dict[str, str], message: str, tmp_path: Path) -> None:
    given = {"source.path": tmp_path, "output": tmp_path / "store", **changes}
    with pytest.raises(ValueError, match=message):
        load_job("reconstruct_audioldm2", [f"{name}={value}" for name, value in given.items()])


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
@pytest.mark.skipif(not SOUNDS.exists(), reason="RECORDED SOUNDS ARE NOT HERE: the recipe is not tested on them")
def test_the_recipe_on_recorded_sounds(pipeline_folder: Path, tmp_path: Path) -> None:
    settings = {"segment__length_seconds": 5.0, "microbatch": 8, "griffin_lim__num_iterations": 16}
    summary = reconstruct(SOUNDS, tmp_path / "store", pipeline_folder, run=run_job, **settings)
    assert summary.manifest.totals.num_quarantined == 0
    assert summary.manifest.totals.num_units == summary.num_units >= 142
    table = pq.read_table(next((tmp_path / "store/data").glob("*.parquet")))
    assert table["griffin_lim_snr_db"].null_count == 0
