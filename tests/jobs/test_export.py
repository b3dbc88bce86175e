"""Sounds of a store as files, named as asked for, and the table beside them."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import soundfile

from jobs.export import export_store
from jobs.generate_job import GenerateJob
from jobs.load import load_job
from jobs.spec_error import SpecError
from pipeline.store import LatentStore, location
from pipeline.store.schema import scalar_columns
from tests.jobs.command import latentmill
from tests.jobs.stores import run_in_a_loop


@pytest.fixture(scope="module")
def sounds(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of sounds that went through a mel."""
    store = tmp_path_factory.mktemp("export") / "store"
    settings = ["model=null", "methods=[griffin_lim]", "griffin_lim.num_iterations=0", "segment.length_seconds=1.0"]
    run_in_a_loop(load_job("reconstruct_audioldm2", [f"source.path={clips}", f"output={store}", *settings]))
    return store


PROMPTS = (
    {"prompt": "rain, wind/hail", "category": "weather", "file": "a.csv", "duration_seconds": 0.5},
    {"prompt": 'a "dog"\nbarks', "category": "animal", "file": "", "duration_seconds": 0.25},
    {"prompt": "../../etc/passwd", "category": None, "file": None, "duration_seconds": 0.25},
    {"prompt": ".hidden\r\x07", "category": "..", "file": "=1+1", "duration_seconds": 0.25},
)


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two sounds for each of some awkward prompts."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, PROMPTS)))
    spec = {"source": {"path": folder / "prompts.jsonl"}, "output": folder / "store", "model": {"weights": "random"}}
    run_in_a_loop(GenerateJob.model_validate(spec | {"variations": 2}))
    return folder / "store"


def files_in(folder: Path) -> list[str]:
    """Relative paths of all files, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def index_of(folder: Path) -> list[dict[str, str]]:
    """The rows of `index.csv`, by Python's own reader."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_every_sound_is_a_file(sounds: Path, tmp_path: Path) -> None:
    done = export_store(str(sounds), str(tmp_path / "out"))
    store = LatentStore(sounds)
    assert (done.num_files, done.columns) == (2 * len(store), ("original", "griffin_lim"))
    files = list((tmp_path / "out").rglob("*.flac"))
    assert len(files) == done.num_files
    assert sum(file.stat().st_size for file in files) == done.num_bytes
    row = store.by_id("high/clip_000.wav#0")
    assert (tmp_path / "out/griffin_lim/high/clip_000.wav#0.flac").read_bytes() == row["griffin_lim"]["bytes"]


def test_wav_holds_the_same_samples(sounds: Path, tmp_path: Path) -> None:
    result = latentmill("export", sounds, "--to", tmp_path, "--column", "original", "--wav")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{len(LatentStore(sounds))} files (original), ")
    row = LatentStore(sounds).by_id("high/clip_000.wav#0")
    expected, rate = soundfile.read(io.BytesIO(row["original"]["bytes"]), dtype="int16")
    samples, wav_rate = soundfile.read(tmp_path / "original/high/clip_000.wav#0.wav", dtype="int16")
    assert rate == wav_rate
    assert np.array_equal(samples, expected)


def test_one_unit_is_shown_without_its_bytes(sounds: Path) -> None:
    shown = latentmill("show", sounds, "high/clip_000.wav#0").stdout
    assert "16000 Hz  1 channel(s)" in shown
    assert len(shown) < 2000


def test_a_file_uri_is_its_folder(sounds: Path, tmp_path: Path) -> None:
    done = export_store(str(sounds), f"file://{tmp_path}/out", columns=["original"])
    assert len(list((tmp_path / "out").rglob("*.flac"))) == done.num_files == len(LatentStore(sounds))
    with pytest.raises(SpecError, match="can only be read"):
        export_store(str(sounds), "https://host/out")


def test_what_cannot_be_exported(sounds: Path, store: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"holds no sounds called vocoder; there are original, griffin_lim"):
        export_store(str(sounds), str(tmp_path), columns=["vocoder"])
    with pytest.raises(SpecError, match=r"holds no sounds; its columns are sample_id"):
        export_store(str(store), str(tmp_path))
    with pytest.raises(SpecError, match="not a store"):
        export_store(str(tmp_path / "nowhere"), str(tmp_path))


def test_files_are_named_by_columns(prompted: Path, tmp_path: Path) -> None:
    done = export_store(
        str(prompted), str(tmp_path), name="{category}/{prompt}-{variation:02}, {duration_seconds:.1f} s"
    )
    assert done.num_files == 8
    assert files_in(tmp_path) == sorted(
        ["index.csv"]
        + [f"weather/rain, wind_hail-0{number}, 0.5 s.flac" for number in (0, 1)]
        + [f'animal/a "dog"_barks-0{number}, 0.2 s.flac' for number in (0, 1)]
        + [f"_/.._.._etc_passwd-0{number}, 0.2 s.flac".replace("/..", "/_.") for number in (0, 1)]
        + [f"_./_hidden__-0{number}, 0.2 s.flac" for number in (0, 1)]
    )
    store = LatentStore(prompted)
    for row in index_of(tmp_path):
        assert (tmp_path / row["file"]).read_bytes() == store.by_id(row["sample_id"])["audio"]["bytes"]


def test_several_sounds_have_folders_of_their_own(sounds: Path, tmp_path: Path) -> None:
    names = {}
    for folder, name, columns in (
        ("plain", "{seed:x}", ()),
        ("one", "{seed:x}", ("original",)),
        ("named", "{seed:x}.{column}", ()),
    ):
        export_store(str(sounds), str(tmp_path / folder), name=name, columns=columns)
        names[folder] = files_in(tmp_path / folder)
    seeds = [f"{seed:x}" for seed in LatentStore(sounds).select(["seed"])["seed"].to_pylist()]
    methods = ("original", "griffin_lim")
    assert names["plain"] == sorted(["index.csv", *(f"{method}/{seed}.flac" for method in methods for seed in seeds)])
    assert names["one"] == sorted(["index.csv", *(f"{seed}.flac" for seed in seeds)])
    assert names["named"] == sorted(["index.csv", *(f"{seed}.{method}.flac" for method in methods for seed in seeds)])


def test_units_of_one_name_are_refused_before_anything_is_written(prompted: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"units '.*#0' and '.*#1' would both be '.*\.flac'; add {sample_id} or {vari"):
        export_store(str(prompted), str(tmp_path / "out"), name="{prompt}")
    with pytest.raises(SpecError, match=r"add {sample_id} to --name {variation}"):
        export_store(str(prompted), str(tmp_path / "out"), name="{variation}")
    with pytest.raises(SpecError, match=r"{prompt:d} does not suit the prompt of unit .*Unknown format code 'd'"):
        export_store(str(prompted), str(tmp_path / "out"), name="{prompt:d}")
    with pytest.raises(SpecError, match=r"a field must be one of variation, column, sample_id.*got 'promt'; did you"):
        export_store(str(prompted), str(tmp_path / "out"), name="{promt}")
    with pytest.raises(SpecError, match=r"export one of them elsewhere, by --only 'sample_id=.*'"):
        export_store(str(prompted), str(tmp_path / "out"), name="{sample_id:.1}")
    assert not (tmp_path / "out").exists()


def test_only_some_units(prompted: Path, tmp_path: Path) -> None:
    only = ["category=weather", "category=animal", "verdict=accepted", "duration_seconds=0.5"]
    assert export_store(str(prompted), str(tmp_path / "python"), only=only).num_files == 2
    result = latentmill("export", prompted, "--to", tmp_path / "cli", *(f"--only={text}" for text in only))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("2 files (audio), ")
    assert files_in(tmp_path / "cli") == files_in(tmp_path / "python")
    assert {row["prompt"] for row in index_of(tmp_path / "cli")} == {"rain, wind/hail"}


def test_no_unit_left(prompted: Path, tmp_path: Path) -> None:
    result = latentmill("export", prompted, "--to", tmp_path / "out", "--only", "verdict=too_quiet")
    assert result.returncode == 2
    assert "has verdict=too_quiet; of all 8, verdict is 'accepted' (8)" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_index_has_a_row_for_each_file(prompted: Path, tmp_path: Path) -> None:
    export_store(str(prompted), str(tmp_path), file_format="wav")
    store = LatentStore(prompted)
    names = list(scalar_columns(store.schema))
    rows = index_of(tmp_path)
    assert list(rows[0]) == ["file", *("file_" if name == "file" else name for name in names)]
    assert sorted(row["file"] for row in rows) == [name for name in files_in(tmp_path) if name != "index.csv"]
    for row in rows:
        stored: dict[str, Any] = store.by_id(row["sample_id"], names)
        assert row["file"] == f"audio/{stored['sample_id']}.wav"
        assert row["file_"] == (stored["file"] or "")
        for name in ("prompt", "category", "verdict"):
            assert row[name] == (stored[name] or "")
        for name in ("seed", "peak", "duration_seconds", "top_k"):
            assert type(stored[name])(row[name]) == stored[name]


def test_others_read_the_index(prompted: Path, tmp_path: Path) -> None:
    export_store(str(prompted), str(tmp_path))
    prompts = sorted(str(row["prompt"]) for row in PROMPTS for _ in range(2))
    frame = pd.read_csv(tmp_path / "index.csv")
    assert sorted(frame["prompt"]) == prompts
    assert frame["seed"].dtype == np.uint64
    found = duckdb.sql(f"select prompt, seed from read_csv('{tmp_path / 'index.csv'}')").fetchall()
    assert sorted(prompt for prompt, _ in found) == prompts
    assert {seed for _, seed in found} == set(frame["seed"].tolist())


@pytest.mark.usefixtures("memory")
def test_an_object_store_gets_the_same(prompted: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"name": "{category}/{prompt}?-{variation}", "only": ["category=weather"]}
    export_store(str(prompted), str(tmp_path), **options)
    export_store(str(prompted), "memory://bucket/exported", **options)
    for name in files_in(tmp_path):
        assert location.read_bytes(f"memory://bucket/exported/{name}") == (tmp_path / name).read_bytes()
