"""Sets of sounds that need be neither pairs nor of one size, compared by what is heard in them."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from jobs.outlook import look_ahead
from jobs.run import run_job
from jobs.spec_error import SpecError
from jobs.summary import Summary, describe_summary
from jobs.verify import verify_store
from pipeline.store import LatentStore
from tests.jobs.command import latentmill
from tests.jobs.report_page import page_of
from tests.jobs.stores import run_in_a_loop
from tests.jobs.test_evaluate_job import RATE, evaluate, look_ahead_of, noise, write, write_sides
from tests.jobs.test_set_evaluation import frechet
from tests.workers.models.hearing_models import write_ast, write_clap, write_encodec
from workers.metrics.class_divergence import kl_ref_gen
from workers.metrics.log_mel_statistics import log_mel_statistics
from workers.metrics.metric_names import HEARD_METRICS, SET_METRICS
from workers.models.ast_spec import AstSpec
from workers.models.load_listener import load_classifier

SETS = "[fad, kad]"


def write_sets(folder: Path) -> None:
    """Twelve pairs, and what has no counterpart, or one of another length, or nothing that can be heard."""
    write_sides(folder)
    write(folder / "ref" / "lonely.wav", noise(50, 7000))
    for number in range(3):
        write(folder / "out" / f"surplus{number}.wav", noise(60 + number, 9000))
    write(folder / "out" / "05.wav", noise(70, 20_000))
    write(folder / "out" / "brief.wav", noise(71, 500))
    spoilt = noise(72, 9000)
    spoilt[5] = np.nan
    write(folder / "out" / "spoilt.wav", spoilt)
    (folder / "out" / "broken.wav").write_bytes(b"no sound")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    write_sets(folder)
    return folder


judge: Callable[..., Summary] = partial(evaluate, metrics=SETS, allow_few=True, limits__max_failed_fraction=1)


@pytest.fixture(scope="module")
def judged(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return judge(sets, tmp_path_factory.mktemp("judged") / "store")


def values_of(summary: Summary) -> dict[tuple[str, str | None], dict[str, Any]]:
    return {(one["metric"], one["group"]): one for one in summary.findings.values}


def test_every_clip_counts_that_can_be_heard(sets: Path, judged: Summary) -> None:
    found = values_of(judged)["fad", None]
    assert found["statuses"] == {
        "reference": {"no_reference": 5, "ok": 13},
        "candidate": {"no_candidate": 1, "nonfinite": 1, "ok": 15, "too_short": 1},
    }
    assert found["num_vectors"] == {"reference": 13, "candidate": 15}
    vectors: list[Any] = []
    for side in ("ref", "out"):
        own = []
        for path in sorted((sets / side).glob("*.wav")):
            if path.name != "broken.wav":
                clip = soundfile.read(path, dtype="float32")[0]
                if side == "out" and path.stem in {f"{number:02}" for number in range(12)} - {"05"}:
                    assert len(clip) == len(soundfile.read(sets / "ref" / path.name)[0])
                own.append(log_mel_statistics(clip, RATE).values)
        vectors.append(np.stack([values for values in own if values is not None]))
    # 13 rows of 96 dimensions: the root of a singular product is where the two ways differ
    assert found["value"] == pytest.approx(frechet(*vectors), rel=1e-3, abs=1e-4)
    text = describe_summary(judged)
    assert "candidates that the embedding left out: 1 nonfinite, 1 too_short" in text
    assert "13 of 13" in text
    assert "15 of 17" in text
    assert "log_mel_statistics: they compare runs of this kind" in text


def test_rows_hold_embeddings_or_why_there_is_none(sets: Path, judged: Summary) -> None:
    store = LatentStore(judged.store)
    row = store.by_id("00.wav#0")
    clip = soundfile.read(sets / "out" / "00.wav", dtype="float32")[0]
    np.testing.assert_array_equal(row["candidate_embedding"], log_mel_statistics(clip, RATE).values)
    assert row["candidate_embedding"].dtype == np.float32
    lonely = store.by_id("lonely.wav#0")
    assert lonely["candidate_embedding_status"] == "no_candidate"
    assert np.isnan(lonely["candidate_embedding"]).all()
    assert lonely["reference_embedding_status"] == "ok"


def test_nothing_depends_on_blocks_or_on_what_else_is_asked(sets: Path, judged: Summary, tmp_path: Path) -> None:
    blocks = judge(sets, tmp_path / "blocks", placement__units_per_block=3, placement__units_per_file=3)
    assert blocks.manifest.content_digest == judged.manifest.content_digest
    assert blocks.findings == judged.findings
    for part in sorted((tmp_path / "blocks" / "data").glob("*.parquet"))[::2]:
        part.unlink()
    again = judge(sets, tmp_path / "blocks")
    assert again.num_new > 0
    assert again.findings == judged.findings
    more = judge(sets, tmp_path / "more", metrics="[snr_db, kad, fad]")
    assert values_of(more)["fad", None] == values_of(judged)["fad", None]
    assert values_of(more)["snr_db", None]["num_values"] == 11


def test_units_can_be_made_again_and_looked_at(judged: Summary, tmp_path: Path) -> None:
    found = verify_store(judged.store, fraction=1.0)
    assert found.sound, found.findings
    page = page_of(Path(judged.store), tmp_path / "page.html", num_shown=2)
    assert "candidate_embedding" in page.text
    for metric in ("fad", "kad"):
        assert f"{values_of(judged)[metric, None]['value']:.5g}" in page.text


def test_equal_sets_are_no_distance_apart_and_worse_ones_more(tmp_path: Path) -> None:
    write_sides(tmp_path, 8)
    worse = tmp_path / "worse"
    for path in (tmp_path / "ref").glob("*.wav"):
        clip = soundfile.read(path, dtype="float32")[0]
        write(worse / path.name, clip * 0.2 + noise(99, len(clip)))
    equal, noisy, spoilt = (
        values_of(judge(tmp_path, tmp_path / f"of_{side}", candidate__path=tmp_path / side))["fad", None]["value"]
        for side in ("ref", "out", "worse")
    )
    assert equal == pytest.approx(0.0, abs=1e-9)
    assert equal < noisy < spoilt


def test_groups_are_sets_too_and_candidates_without_a_reference_in_none(sets: Path, tmp_path: Path) -> None:
    grouped = {"reference__path": sets / "ref.csv", "reference__id_column": "id", "group_by": "category"}
    found = values_of(judge(sets, tmp_path / "store", **grouped))
    assert {group for _, group in found} == {None, "dog", "cat", "rain", "(none)"}
    assert found["fad", "dog"]["num_vectors"] == {"reference": 4, "candidate": 4}
    assert found["fad", "(none)"]["status"] == "too_few"


def test_two_candidates_are_compared_as_sets(sets: Path, judged: Summary, tmp_path: Path) -> None:
    same = {"candidate__path": sets / "ref"}
    found = values_of(judge(sets, tmp_path / "store", compare_with=judged.store, **same))
    theirs = values_of(judged)["fad", None]["value"]
    assert found["fad", None]["difference"] == found["fad", None]["value"] - theirs < 0


def test_names_need_not_agree_unless_a_metric_needs_pairs(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "ref" / f"real{number}.wav", noise(number, 5000))
        write(tmp_path / "out" / f"made{number}.wav", noise(10 + number, 6000))
    found = values_of(judge(tmp_path, tmp_path / "store"))["kad", None]
    assert found["num_vectors"] == {"reference": 3, "candidate": 3}
    with pytest.raises(SpecError, match=r"none of its 3 items has the name of one of reference\.path"):
        judge(tmp_path, tmp_path / "pairs", metrics="[fad, snr_db]")


def test_its_recipe_runs_from_the_command_line(sets: Path, tmp_path: Path) -> None:
    told = latentmill(
        *("run", "evaluate_generated", "--json", f"--set=reference.path={sets / 'ref'}"),
        *(f"--set=candidate.path={sets / 'out'}", f"--set=output={tmp_path / 'scores'}"),
        *("--set=allow_few=true", "--set=limits.max_failed_fraction=1", "--set=placement.actors=1"),
    )
    assert told.returncode == 0, told.stderr
    findings = json.loads(told.stdout)["findings"]
    assert {one["metric"]: one["status"] for one in findings} == {"fad": "ok", "kad": "ok"}
    assert findings[0]["num_vectors"] == {"reference": 13, "candidate": 15}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "clap": write_clap(root / "clap"),
        "ast": write_ast(root / "ast"),
        "encodec": write_encodec(root / "encodec"),
        "bare": write_clap(root / "bare", tokenizer=False),
    }


def hearing(models: dict[str, Path], **more: Any) -> dict[str, Any]:
    """Settings that ask for everything that models say of sounds with captions."""
    return {
        "metrics": f"[{', '.join([*HEARD_METRICS, *SET_METRICS])}]",
        "embedding": f"{{kind: encodec, weights: {models['encodec']}, window_seconds: 0.5}}",
        "classifier__weights": models["ast"],
        "clap__weights": models["clap"],
        "microbatch": 4,
        "device": "cpu",
        **more,
    }


def write_captions(folder: Path) -> None:
    """`captions.csv` with a text for each reference but one."""
    names = sorted(path.stem for path in (folder / "ref").glob("*.wav"))
    lines = [f"ref/{name}.wav,{name},{'' if name == '03' else f'sound number {name}'}" for name in names]
    (folder / "captions.csv").write_text("\n".join(["path,id,caption", *lines]) + "\n")


@pytest.fixture(scope="module")
def captioned(sets: Path, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return with_captions(sets, tmp_path_factory.mktemp("captioned") / "store", **hearing(models))


def with_captions(folder: Path, output: Path, **more: Any) -> Summary:
    write_captions(folder)
    references = {"reference__path": folder / "captions.csv", "reference__id_column": "id"}
    return judge(folder, output, **{**references, **more})


def test_models_say_what_the_functions_make_of_the_rows(
    sets: Path, captioned: Summary, models: dict[str, Path]
) -> None:
    store = LatentStore(captioned.store)
    rows = {row["source"]: row for row in store}
    classifier = load_classifier(
        AstSpec(weights=str(models["ast"])), sample_rate=RATE, device=torch.device("cpu"), microbatch=2
    )
    for name in ("00", "05"):
        sides = [soundfile.read(sets / side / f"{name}.wav", dtype="float32")[0] for side in ("ref", "out")]
        own = [vector.values for vector in classifier(sides).vectors]
        for side, vector in zip(("reference", "candidate"), own, strict=True):
            # which of them are computed at once may change the last bits of another microbatch
            np.testing.assert_allclose(rows[name][f"{side}_class_log_probabilities"], vector, atol=1e-6)
        stored = [rows[name][f"{side}_class_log_probabilities"] for side in ("reference", "candidate")]
        assert rows[name]["kl_ref_gen"] == kl_ref_gen(*stored).value
        assert rows[name]["kl_gen_ref"] == kl_ref_gen(*stored[::-1]).value
    statuses = {name: row["clap_status"] for name, row in rows.items()}
    assert {name: status for name, status in statuses.items() if status != "ok"} == {
        "03": "no_text",
        "lonely": "no_candidate",
        "brief.wav": "too_short",
        "spoilt.wav": "nonfinite",
        **{f"surplus{number}.wav": "no_reference" for number in range(3)},
    }
    assert all((row["clap"] is None) == (row["clap_status"] != "ok") for row in rows.values())
    assert {row["kl_ref_gen_status"] for row in rows.values()} == {"ok", "no_reference", "no_candidate"}
    assert {row["microbatch"] for row in rows.values()} == {4}


def test_what_models_say_is_summed_up(captioned: Summary) -> None:
    found = values_of(captioned)
    assert [metric for metric, _ in found] == [*HEARD_METRICS, *SET_METRICS]
    rows = LatentStore(captioned.store).select(["clap", "candidate_class_log_probabilities"]).to_pylist()
    assert found["clap", None]["mean"] == pytest.approx(
        np.mean([row["clap"] for row in rows if row["clap"] is not None])
    )
    assert (found["clap", None]["num_values"], found["clap", None]["num_units"]) == (11, 19)  # one is in quarantine
    assert found["fad", None]["num_vectors"] == {"reference": 13, "candidate": 16}
    assert found["fad", None]["dimension"] == 8
    probabilities = [np.exp(np.frombuffer(row["candidate_class_log_probabilities"], np.float32)) for row in rows]
    heard = np.stack([one for one in probabilities if np.isfinite(one).all()]).astype(np.float64)
    assert found["inception_score", None]["num_vectors"] == {"candidate": len(heard)}
    assert 1.0 <= found["inception_score", None]["value"] <= 5.0
    text = describe_summary(captioned)
    assert "clap without a value: 1 no_candidate, 3 no_reference, 1 no_text, 1 nonfinite, 1 too_short" in text
    assert "candidates that the classifier left out: 1 nonfinite" in text


@pytest.mark.usefixtures("local_ray")
def test_actors_blocks_and_a_resume_change_no_bit(
    sets: Path, captioned: Summary, models: dict[str, Path], tmp_path: Path
) -> None:
    split = {"placement__actors": 2, "placement__units_per_block": 5, "placement__units_per_file": 5}
    store = tmp_path / "store"
    two = with_captions(sets, store, run=run_job, **hearing(models, **split))
    assert two.manifest.content_digest == captioned.manifest.content_digest
    assert two.findings == captioned.findings
    sorted((store / "data").glob("part-*.parquet"))[0].unlink()
    again = with_captions(sets, store, run=run_job, **hearing(models))
    assert 0 < again.num_new < 18
    assert again.manifest.content_digest == captioned.manifest.content_digest
    assert again.findings == captioned.findings


def test_what_models_say_can_be_made_again(captioned: Summary) -> None:
    found = verify_store(captioned.store, fraction=1.0)
    assert found.sound, found.findings


def test_a_model_is_known_by_its_content(
    sets: Path, captioned: Summary, models: dict[str, Path], tmp_path: Path
) -> None:
    moved = shutil.copytree(models["ast"], tmp_path / "moved")
    settings = hearing(models, classifier__weights=moved)
    assert with_captions(sets, Path(captioned.store), **settings).num_new == 0
    settings = hearing(models, classifier__weights=write_ast(tmp_path / "other", seed=1))
    with pytest.raises(SpecError, match=r"made by another spec.*\n(.*\n)*  classifier: "):
        with_captions(sets, Path(captioned.store), **settings)
    other = {"output": tmp_path / "compared", "compare_with": captioned.store}
    with pytest.raises(SpecError, match=r"scores other pairs, or in another way .*\n(.*\n)*  classifier: "):
        with_captions(sets, tmp_path / "compared", run=look_ahead, **settings, compare_with=captioned.store)
    asked = {**settings, **other, "metrics": "[clap]"}
    del asked["output"]
    assert with_captions(sets, tmp_path / "compared", **asked).findings.values[0]["difference"]["mean"] == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": "[kl_ref_gen]"}, r"metrics has kl_ref_gen, but there is no classifier: set classifier.weights to"),
        ({"metrics": "[clap, fad]"}, r"metrics has clap, but there is no clap: set clap.weights to a folder or hub id"),
        ({"metrics": "[clap]", "clap__weights": "{clap}"}, r"text_column: no column 'caption' of texts"),
        ({"metrics": "[clap]", "clap__weights": "{clap}", "text_column": "null"}, r"there is no text_column: name"),
        ({"metrics": "[clap]", "clap__weights": "{bare}"}, r"no tokenizer beside the model"),
        ({"metrics": "[clap]", "clap__weights": "{ast}"}, r"holds a model of type audio-spectrogram-transformer, exp"),
        ({"embedding": "{{kind: ast}}"}, r"embedding.weights: required, but not given"),
        ({"metrics": "[kl_ref_gen]", "classifier__weights": "nowhere"}, r"no such model folder: nowhere"),
        ({"device": "cuda", "embedding": "{{kind: ast, weights: {ast}}}"}, r"device: cuda is asked for, and torch fin"),
    ],
)
def test_models_that_are_missing_are_named_before_anything_is_done(
    sets: Path, models: dict[str, Path], tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    filled = {name: value.format(**models) for name, value in settings.items()}
    with pytest.raises(SpecError, match=message):
        look_ahead_of(sets, tmp_path / "store", **{"metrics": SETS, **filled})
    assert not (tmp_path / "store").exists()


def test_models_that_are_not_used_or_hear_less_are_told_of(sets: Path, models: dict[str, Path], tmp_path: Path) -> None:
    settings = {"sample_rate": 8000, "resampler": "HQ", "clap__weights": models["clap"], "device": "cpu"}
    embedding = {"embedding": f"{{kind: ast, weights: {models['ast']}}}"}
    outlook = look_ahead_of(sets, tmp_path / "store", metrics=SETS, **settings, **embedding)
    assert "clap is set, and no metric needs it" in outlook.notes
    assert any(
        note.startswith("embedding hears at 16,000 Hz, and clips are compared at 8,000") for note in outlook.notes
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": "null"}, r"metrics has fad, kad, but there is no embedding: set embedding"),
        ({"embedding": "{kind: log_mel}"}, r"embedding.kind: must be .*log_mel_statistics"),
        ({"sample_rate": 256_000, "resampler": "HQ"}, r"log_mel_statistics is defined up to 192,000 Hz"),
    ],
)
def test_what_cannot_be_heard_is_said_before_anything_is_done(
    sets: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        look_ahead_of(sets, tmp_path / "store", **{"metrics": SETS, **settings})
    assert not (tmp_path / "store").exists()


def test_an_embedding_that_no_metric_needs_changes_nothing(sets: Path, tmp_path: Path) -> None:
    first = evaluate(sets, tmp_path / "store", metrics="[snr_db]", limits__max_failed_fraction=1)
    assert "candidate_embedding" not in LatentStore(first.store).columns
    again = evaluate(sets, tmp_path / "store", metrics="[snr_db]", embedding="null", run=run_in_a_loop)
    assert again.num_new == 0
