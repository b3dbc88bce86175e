"""Specs from YAML and overrides; every wrong one says where and what is allowed, on one screen."""

import re
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.encode_job import EncodeJob
from jobs.evaluate_job import EvaluateJob
from jobs.generate_job import GenerateJob
from jobs.load import RECIPES, job_kinds, load_job
from jobs.mel_job import MelJob
from jobs.reconstruct_job import ReconstructJob
from jobs.spec_error import SpecError

GOOD = """\
kind: encode
source:
  path: sounds
output: store
segment:
  length_seconds: 5.12
model:
  kind: audio_vae
  weights: random
"""

WRONG = {
    "not_yaml": ("kind: [encode", [], r"wrong.yaml:1: not valid YAML"),
    "tab": ("kind: encode\n\tsource: x", [], r"wrong.yaml:2: not valid YAML"),
    "a_list": ("- kind: encode", [], r"a spec is a mapping of fields to values, got list"),
    "empty": ("", [], r"a spec is a mapping of fields to values, got NoneType"),
    "no_kind": (
        GOOD.replace("kind: encode", ""),
        [],
        r"kind: required, but not given; one of encode, evaluate, generate, mel",
    ),
    "wrong_kind": (
        GOOD.replace("kind: encode", "kind: encod"),
        [],
        r"wrong.yaml:1: kind: .*'encod'; did you mean encode",
    ),
    "kind_is_a_list": (
        GOOD.replace("kind: encode", "kind: [encode]"),
        [],
        r"kind: must be one of encode, evaluate, generate, mel",
    ),
    "no_source": (GOOD.replace("source:\n  path: sounds\n", ""), [], r"source: required, but not given"),
    "no_path": (GOOD.replace("path: sounds", "path_column: file"), [], r"wrong.yaml:2: source.path: required"),
    "no_output": (GOOD.replace("output: store\n", ""), [], r"output: required, but not given"),
    "empty_path": (GOOD.replace("path: sounds", "path: ''"), [], r"source.path: .*at least 1"),
    "path_is_a_number": (GOOD.replace("path: sounds", "path: 7"), [], r"source.path: .*string.*got 7"),
    "typo_at_the_top": (GOOD + "sed: 3\n", [], r"wrong.yaml:10: sed: unknown field; did you mean 'seed'\?"),
    "typo_below": (
        GOOD.replace("length_seconds", "lenght_seconds"),
        [],
        r"wrong.yaml:6: segment.lenght_seconds: unknown field; did you mean 'length_seconds'\?",
    ),
    "typo_in_the_model": (
        GOOD.replace("weights:", "wieghts:"),
        [],
        r"wrong.yaml:9: model.wieghts: unknown field; did you mean 'weights'\?",
    ),
    "alien_field": (GOOD + "colour: red\n", [], r"colour: unknown field; allowed: kind, output, seed"),
    "wrong_model": (
        GOOD.replace("kind: audio_vae", "kind: audio_vea"),
        [],
        r"wrong.yaml:8: model.kind: must be one of audio_vae, autoencoder_kl, autoencoder_oobleck, encodec, dac, mimi,"
        " got 'audio_vea'; did you mean audio_vae",
    ),
    "model_without_kind": (GOOD.replace("  kind: audio_vae\n", ""), [], r"model.kind: needs a `kind`"),
    "negative_length": (GOOD.replace("5.12", "-1"), [], r"segment.length_seconds: must be greater than 0, got -1"),
    "length_is_text": (GOOD.replace("5.12", "long"), [], r"segment.length_seconds: must be a valid number.*got 'long'"),
    "length_is_infinite": (GOOD.replace("5.12", ".inf"), [], r"segment.length_seconds: .*got inf"),
    "wrong_tail": (GOOD, ["segment.tail=padd"], r"--set segment.tail=padd: segment.tail: .*did you mean pad"),
    "bucket_without_keep": (GOOD, ["segment.bucket_seconds=1"], r"bucket_seconds is 1.0 but tail is 'pad'; set tail"),
    "bucket_too_long": (
        GOOD,
        ["segment.bucket_seconds=9", "segment.tail=keep"],
        r"bucket_seconds 9.0 exceeds length_seconds 5.12",
    ),
    "no_segments": (
        GOOD,
        ["segment.max_segments=0"],
        r"segment.max_segments: must be greater than or equal to 1",
    ),
    "no_actors": (GOOD, ["placement.actors=0"], r"placement: actors is 0; give 1 or more"),
    "pool_upside_down": (GOOD, ["placement.actors={min: 3, max: 1}"], r"min 3 exceeds max 1; swap them"),
    "microbatch_of_one": (GOOD, ["microbatch=1"], r"microbatch: must be greater than or equal to 2, got 1"),
    "half_a_seed": (GOOD, ["seed=0.5"], r"seed: must be a valid integer.*got 0.5"),
    "wrong_precision": (GOOD, ["precision=fp16"], r"precision: must be one of .*float16.*got 'fp16'"),
    "wrong_dtype": (GOOD, ["dtype=int8"], r"dtype: must be one of float16, float32, got 'int8'"),
    "fraction_above_one": (GOOD, ["limits.max_failed_fraction=5"], r"limits.max_failed_fraction: must be less than"),
    "wrong_channels": (GOOD, ["audio.channels=5.1"], r"audio.channels: must be one of mono, stereo, keep, got 5.1"),
    "wrong_preset": (GOOD, ["mel.preset=audioldm"], r"mel.preset: .*did you mean audioldm2"),
    "window_longer_than_fft": (GOOD, ["mel.n_fft=512"], r"mel: win_length 2048 is longer than n_fft 512"),
    "mel_above_nyquist": (GOOD, ["mel.f_max_hz=9000"], r"mel: f_max_hz 9000 is above half the sample_rate"),
    "override_without_value": (GOOD, ["seed"], r"--set seed: write it as field=value"),
    "override_without_name": (GOOD, ["=3"], r"--set =3: write it as field=value"),
    "override_into_a_scalar": (GOOD, ["output.path=x"], r"--set output.path=x: output is 'store' and has no fields"),
    "override_not_yaml": (GOOD, ["seed=[1"], r"--set seed=\[1: the value is not valid YAML"),
    "key_twice": (GOOD + "output: other\n", [], r"wrong.yaml:10: 'output' stands twice in this mapping"),
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", WRONG)
def test_wrong_specs_say_where_and_what_is_allowed(tmp_path: Path, name: str) -> None:
    text, overrides, expected = WRONG[name]
    with pytest.raises(SpecError, match=expected) as caught:
        load_job(write(tmp_path, text), overrides)
    message = str(caught.value)
    assert len(message.splitlines()) <= 20
    assert "pydantic" not in message
    assert "Traceback" not in message


@pytest.mark.parametrize("name", WRONG)
def test_wrong_specs_exit_with_2_and_no_traceback(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text, overrides, expected = WRONG[name]
    command = ["latentmill", "run", str(write(tmp_path, text)), *(f"--set={override}" for override in overrides)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr().err
    assert caught.value.code == 2
    assert re.search(expected, printed)
    assert "Traceback" not in printed


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("5.12", "0").replace("weights", "weight")
    with pytest.raises(SpecError) as caught:
        load_job(write(tmp_path, text), ["seed=x"])
    assert len(str(caught.value).splitlines()) == 3


def test_unreadable_files() -> None:
    with pytest.raises(SpecError, match=r"nowhere.yaml: no such file; give a YAML file or one of the recipes: .*mel"):
        load_job("nowhere.yaml")
    with pytest.raises(SpecError, match="is a folder, not a spec file"):
        load_job(RECIPES)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"\xff\xfe\x00k")
    with pytest.raises(SpecError, match="not a text file"):
        load_job(path)


def test_overrides_win_and_make_missing_levels(tmp_path: Path) -> None:
    job = load_job(
        write(tmp_path, GOOD), ["segment.length_seconds=2", "placement.actors=3", "source.path=[a.wav, b.wav]"]
    )
    assert isinstance(job, EncodeJob)
    assert job.segment.length_seconds == 2
    assert job.placement.actors == 3
    assert job.source.path == ("a.wav", "b.wav")


@pytest.mark.parametrize("name", ["2024", "2024-01-01", "yes", "1.5", "*.flac", "my #1 folder", "@x"])
def test_overrides_of_texts_need_no_quotes(tmp_path: Path, name: str) -> None:
    job = load_job(write(tmp_path, GOOD), [f"output={name}", f"source.path={name}"])
    assert (job.output, job.source.path) == (name, name)


def test_paths_may_be_path_objects(tmp_path: Path) -> None:
    job = EncodeJob.model_validate({"source": {"path": tmp_path / "x"}, "output": tmp_path})
    assert (job.source.path, job.output) == (str(tmp_path / "x"), str(tmp_path))


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_recipes_need_overrides_alone(recipe: str) -> None:
    inputs = ("reference", "candidate") if recipe.startswith("evaluate") else ("source",)
    given = [f"{name}.path=sounds" for name in inputs]
    job = load_job(recipe, [*given, "output=store", "seed=5", "placement.units_per_block=4"])
    assert job.seed == 5
    with pytest.raises(SpecError, match=rf"{inputs[0]}: required"):
        load_job(recipe, ["output=store"])


def test_kinds_are_found_by_their_files() -> None:
    assert job_kinds() == {
        "encode": EncodeJob,
        "evaluate": EvaluateJob,
        "generate": GenerateJob,
        "mel": MelJob,
        "reconstruct": ReconstructJob,
    }


def test_a_job_survives_its_own_dump(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD), ["mel.preset=audioldm2", "mel.hop_length=200"])
    assert type(job).model_validate(job.model_dump(mode="json")) == job
