"""Two folders, or the sounds of a store, compared pair by pair and summed up."""

import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from jobs.load import load_job
from jobs.outlook import look_ahead
from jobs.run import run_job
from jobs.spec_error import SpecError
from jobs.summary import Summary, describe_summary
from jobs.verify import verify_store
from pipeline.store import LatentStore
from tests.jobs.command import latentmill
from tests.jobs.report_page import page_of
from tests.jobs.stores import run_in_a_loop
from workers.metrics.metric_names import DEFAULT_METRICS
from workers.metrics.metric_set import METRICS, Scorer

RATE = 16_000
CATEGORIES = ("dog", "cat", "rain")


def noise(seed: int, length: int) -> Any:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, length).astype(np.float32)


def write(path: Path, samples: Any, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT")


def write_sides(folder: Path, count: int = 12) -> None:
    """`ref/` and `out/` with pairs, of which the later ones are worse, and `ref.csv` with a category for each."""
    lines = ["path,id,category"]
    for number in range(count):
        clip = noise(number, 6000 + 500 * number)
        write(folder / "ref" / f"{number:02}.wav", clip)
        write(folder / "out" / f"{number:02}.wav", clip + noise(100 + number, len(clip)) * 0.01 * (1 + number))
        lines.append(f"ref/{number:02}.wav,{number:02},{CATEGORIES[number % 3]}")
    (folder / "ref.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sides")
    write_sides(folder)
    return folder


@pytest.fixture(scope="module")
def odd_sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs that all go wrong in ways of their own."""
    folder = tmp_path_factory.mktemp("odd")
    write_sides(folder, 3)
    clip = noise(0, 8000)
    spoilt = clip.copy()
    spoilt[77] = np.nan
    for name, reference, candidate, rate in (
        ("silent", clip * 0, clip, RATE),
        ("nan", clip, spoilt, RATE),
        ("brief", clip[: 19 * RATE // 1000], clip[: 19 * RATE // 1000], RATE),
        ("rate", clip, clip, 8000),
        ("length", clip, clip[:7000], RATE),
        ("broken", clip, clip, RATE),
    ):
        write(folder / "ref" / f"{name}.wav", reference)
        write(folder / "out" / f"{name}.wav", candidate, rate)
    write(folder / "ref" / "lonely.wav", clip)
    write(folder / "out" / "surplus.wav", clip)
    (folder / "out" / "broken.wav").write_bytes(b"no sound")
    return folder


def evaluate(folder: Path, output: Path, *, run: Callable[..., Summary] = run_in_a_loop, **more: Any) -> Summary:
    """Runs the recipe on `ref` and `out`, with changed fields (`__` for a dot)."""
    settings = {
        "reference.path": folder / "ref",
        "candidate.path": folder / "out",
        "output": output,
        **{name.replace("__", "."): value for name, value in more.items()},
    }
    return run(load_job("evaluate_folders", [f"{name}={value}" for name, value in settings.items()]))


def grouped(folder: Path, output: Path, **more: Any) -> Summary:
    return evaluate(
        folder,
        output,
        **{"reference__path": folder / "ref.csv", "reference__id_column": "id", "group_by": "category", **more},
    )


@pytest.fixture(scope="module")
def scored(sides: Path, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return evaluate(sides, tmp_path_factory.mktemp("scored") / "store")


def test_rows_hold_what_the_metrics_say_of_the_files(sides: Path, scored: Summary) -> None:
    rows = {row["source"]: row for row in LatentStore(scored.store).select().to_pylist()}
    assert len(rows) == 12
    scorer = Scorer(DEFAULT_METRICS, hop_length=0)
    for name, row in rows.items():
        pair = [soundfile.read(sides / side / name, dtype="float32")[0] for side in ("ref", "out")]
        for metric, score in scorer(*pair, reference_rate_hz=RATE, degraded_rate_hz=RATE).items():
            assert (row[metric], row[f"{metric}_status"]) == (score.value, score.status) == (score.value, "ok")
            assert (
                LatentStore(scored.store).schema.field(metric).metadata.get(b"unit", b"").decode()
                == METRICS[metric].unit
            )


def test_every_oddity_has_its_status_and_costs_nothing_else(odd_sides: Path, tmp_path: Path) -> None:
    summary = evaluate(odd_sides, tmp_path / "store")
    rows = {row["source"].removesuffix(".wav"): row for row in LatentStore(summary.store).select().to_pylist()}
    statuses = {name: {row[f"{metric}_status"] for metric in DEFAULT_METRICS} for name, row in rows.items()}
    assert statuses == {
        **{key: {"ok"} for key in ("00", "01", "02")},
        "silent": {"ok", "silent_reference"},
        "nan": {"nonfinite"},
        "brief": {"ok", "too_short"},
        "rate": {"rate_mismatch"},
        "length": {"length_mismatch"},
        "lonely": {"no_candidate"},
        "surplus": {"no_reference"},
    }
    for row in rows.values():
        assert all((row[metric] is None) == (row[f"{metric}_status"] != "ok") for metric in DEFAULT_METRICS)
    assert [group.example for group in summary.failures] == ["broken.wav#0"]
    text = describe_summary(summary)
    assert "not compared: 1 length_mismatch, 1 no_candidate, 1 no_reference, 1 rate_mismatch" in text
    assert "snr_db without a value: 1 nonfinite, 1 silent_reference" in text
    assert "4 of 11" in next(line for line in text.splitlines() if line.split()[:2] == ["snr_db", "(all)"])


@pytest.mark.usefixtures("local_ray")
def test_workers_blocks_and_a_resume_change_no_bit(sides: Path, scored: Summary, tmp_path: Path) -> None:
    settings = {"placement__actors": 2, "placement__units_per_block": 5, "placement__units_per_file": 5}
    summary = evaluate(sides, tmp_path / "store", run=run_job, **settings)
    assert summary.manifest.content_digest == scored.manifest.content_digest
    assert summary.findings == scored.findings
    lost = sorted((tmp_path / "store/data").glob("part-*.parquet"))[0]
    lost.unlink()
    again = evaluate(sides, tmp_path / "store", run=run_job, placement__actors=1)
    assert (again.num_new, again.num_kept) == (5, 7) or again.num_new + again.num_kept == 12
    assert again.num_new < 12
    assert again.manifest.content_digest == scored.manifest.content_digest
    assert again.findings == scored.findings


def test_its_units_can_be_made_again(scored: Summary) -> None:
    found = verify_store(scored.store, fraction=1.0)
    assert found.sound, found.findings
    assert found.recomputation is not None
    assert found.recomputation.num_equal == 12


def test_a_new_candidate_is_noticed(tmp_path: Path) -> None:
    write_sides(tmp_path, 3)
    first = evaluate(tmp_path, tmp_path / "store")
    write(tmp_path / "out" / "01.wav", noise(5, 6500))
    again = evaluate(tmp_path, tmp_path / "store")
    assert (again.num_new, again.num_kept) == (1, 2)
    assert again.manifest.content_digest != first.manifest.content_digest
    (tmp_path / "out" / "01.wav").unlink()
    with pytest.raises(SpecError, match=r"1 stored unit\(s\) .* such as '01.wav#0'; bring the files back"):
        evaluate(tmp_path, tmp_path / "store")
    assert LatentStore(again.store).by_id("01.wav#0")["lsd_status"] == "ok"
    alone = evaluate(tmp_path, tmp_path / "store", run=partial(run_in_a_loop, prune=True))
    assert (alone.num_new, alone.num_kept) == (1, 2)
    assert LatentStore(alone.store).by_id("01.wav#0")["lsd_status"] == "no_candidate"


def test_sides_that_change_places_are_scored_anew(tmp_path: Path) -> None:
    write_sides(tmp_path, 3)
    evaluate(tmp_path, tmp_path / "store")
    swapped = {"reference__path": tmp_path / "out", "candidate__path": tmp_path / "ref"}
    again = evaluate(tmp_path, tmp_path / "store", **swapped)
    assert (again.num_new, again.num_kept) == (3, 0)
    assert again.manifest.content_digest == evaluate(tmp_path, tmp_path / "new", **swapped).manifest.content_digest
    assert LatentStore(again.store).spec["candidate"]["path"] == str(tmp_path / "ref")


def test_a_candidate_of_the_same_size_and_time_is_another_one(tmp_path: Path) -> None:
    write_sides(tmp_path, 3)
    evaluate(tmp_path, tmp_path / "store")
    for number in range(3):
        before, after = (tmp_path / name / f"{number:02}.wav" for name in ("out", "other"))
        write(after, noise(50 + number, 6000 + 500 * number))
        shutil.copystat(before, after)
        assert before.stat().st_size == after.stat().st_size
    assert evaluate(tmp_path, tmp_path / "store", candidate__path=tmp_path / "other").num_new == 3


def test_a_scrap_behind_the_last_whole_part_is_not_scored(tmp_path: Path) -> None:
    for name, length in (("a", 24_001), ("b", 24_000 + 4000), ("c", 100)):
        clip = noise(1, length)
        write(tmp_path / "ref" / f"{name}.wav", clip)
        write(tmp_path / "out" / f"{name}.wav", clip + noise(2, length) * 0.1)
    settings = {"segment__length_seconds": 0.5, "segment__bucket_seconds": 0.5}
    summary = evaluate(tmp_path, tmp_path / "store", **settings)
    lengths = LatentStore(summary.store).select(["sample_id", "duration_seconds"]).to_pylist()
    assert {row["sample_id"]: row["duration_seconds"] for row in lengths} == {
        **{f"a.wav#{part}": 0.5 for part in range(3)},
        **{f"b.wav#{part}": 0.5 for part in range(3)},
        "b.wav#3": 0.25,
        "c.wav#0": 100 / RATE,
    }


def test_verify_tells_of_candidates_that_have_another_rate_now(tmp_path: Path) -> None:
    write_sides(tmp_path, 2)
    summary = evaluate(tmp_path, tmp_path / "store")
    for number in range(2):
        write(tmp_path / "out" / f"{number:02}.wav", noise(number, 12_000 + 1000 * number), 32_000)
    found = verify_store(summary.store, fraction=1.0)
    assert not found.sound
    assert found.recomputation is not None
    assert found.recomputation.changed_sources == ["00.wav", "01.wav"]


def test_groups_are_summed_up_too(sides: Path, tmp_path: Path) -> None:
    summary = grouped(sides, tmp_path / "store")
    values = {(one["metric"], one["group"]): one for one in summary.findings.values}
    rows = LatentStore(summary.store).select(["category", "snr_db"]).to_pylist()
    for category in CATEGORIES:
        own = [row["snr_db"] for row in rows if row["category"] == category]
        assert values["snr_db", category]["num_values"] == len(own) == 4
        assert values["snr_db", category]["mean"] == pytest.approx(np.mean(own))
    assert values["snr_db", None]["num_values"] == 12
    regrouped = grouped(sides, tmp_path / "store", group_by="null")
    assert regrouped.num_new == 0
    assert {one["group"] for one in regrouped.findings.values} == {None}


def test_failures_count_for_their_group_and_perfect_pairs_in_json(tmp_path: Path) -> None:
    write_sides(tmp_path, 6)
    shutil.copy(tmp_path / "ref" / "01.wav", tmp_path / "out" / "01.wav")
    for number in (0, 3):  # both dogs
        (tmp_path / "out" / f"{number:02}.wav").write_bytes(b"no sound")
    summary = grouped(tmp_path, tmp_path / "store", metrics="[snr_db]", limits__max_failed_fraction=1)
    told = {one["group"]: one for one in json.loads(json.dumps(summary.as_json(), allow_nan=False))["findings"]}
    assert {name: (one["num_values"], one["num_units"]) for name, one in told.items()} == {
        None: (4, 6),
        "cat": (2, 2),
        "dog": (0, 2),
        "rain": (2, 2),
    }
    assert (told["cat"]["mean"], told["cat"]["interval"], told["dog"]["mean"]) == ("inf", None, None)


def test_two_candidates_are_compared_pair_by_pair(sides: Path, scored: Summary, tmp_path: Path) -> None:
    for number in range(1, 12):
        clip = noise(number, 6000 + 500 * number)
        write(tmp_path / "out" / f"{number:02}.wav", clip + noise(200 + number, len(clip)) * 0.001)
    candidate = {"candidate__path": tmp_path / "out"}
    better = evaluate(sides, tmp_path / "store", **candidate, compare_with=scored.store)
    difference = {one["metric"]: one["difference"] for one in better.findings.values}["snr_db"]
    ours, theirs = (
        {row["sample_id"]: row["snr_db"] for row in LatentStore(store).select(["sample_id", "snr_db"]).to_pylist()}
        for store in (better.store, scored.store)
    )
    shared = [ours[name] - theirs[name] for name in ours if ours[name] is not None]
    assert difference["num_values"] == len(shared) == 11
    assert difference["mean"] == pytest.approx(np.mean(shared))
    assert difference["interval"][0] > 0
    assert "differences to the other store" in describe_summary(better)
    other = {"sample_rate": 8000, "resampler": "HQ", "compare_with": scored.store}
    with pytest.raises(SpecError, match=r"scores other pairs, or in another way .*\n  sample_rate: 16000 → 8000"):
        evaluate(sides, tmp_path / "slow", run=look_ahead, **other)


def test_the_sounds_of_one_store_can_be_compared(
    clips: Path, tiny_autoencoder_kl: Callable[..., Path], tmp_path: Path
) -> None:
    made = run_in_a_loop(
        load_job(
            "reconstruct_audioldm2",
            [
                f"source.path={clips}",
                f"output={tmp_path / 'made'}",
                f"model.weights={tiny_autoencoder_kl()}",
                "methods=[griffin_lim]",
                "segment.length_seconds=1.0",
                "griffin_lim.num_iterations=2",
            ],
        )
    )
    settings = {"reference__path": made.store, "candidate__path": made.store}
    columns = {"reference__audio_column": "original", "candidate__audio_column": "griffin_lim"}
    summary = evaluate(tmp_path, tmp_path / "store", **settings, **columns)
    rows = LatentStore(summary.store).select().to_pylist()
    assert len(rows) == made.manifest.totals.num_units
    before = LatentStore(made.store)
    for row in rows:
        assert row["correlation"] == pytest.approx(
            before.by_id(row["source"])["griffin_lim_correlation"], abs=0.01
        )  # FLAC has 16 bits, and the quietened one another scale


def test_its_report_plays_both_sides_of_a_pair(scored: Summary, odd_sides: Path, tmp_path: Path) -> None:
    page = page_of(Path(scored.store), tmp_path / "page.html", num_shown=1)
    tracks = [facts["src"] for tag, facts in page.tags if tag == "audio"]
    assert len(tracks) == len(set(tracks)) == 2 * 3  # best, worst and another one
    assert "candidate" in page.text
    assert page.count("svg") == len(DEFAULT_METRICS)
    odd = evaluate(odd_sides, tmp_path / "odd")
    page = page_of(Path(odd.store), tmp_path / "odd.html", num_shown=20)
    assert "it was not compared" in page.text
    assert "silent_reference 1" in page.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_by": "colour"}, r"group_by: no column 'colour'; there are sample_id"),
        ({"compare_with": "gone"}, r"gone: not a store"),
        ({"sample_rate": 8000}, r"sample_rate is 8000, and no pair has it: references have 16000 Hz"),
        ({"metrics": "[stoi]", "sample_rate": 8000}, r"metrics has stoi, defined at 16,000 Hz"),
        ({"sample_rate": 96_000}, r"metrics has log_mel_l1, whose lowest bands hold no bin above 48,000 Hz"),
        ({"metrics": "[loudness]"}, r"metrics\[0\]: must be one of log_mel_l1"),
        ({"reference__duration_column": "seconds"}, r"duration_column is set, but lengths are compared"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_done(
    sides: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        look_ahead_of(sides, tmp_path / "store", **settings)
    assert not (tmp_path / "store").exists()


def look_ahead_of(folder: Path, output: Path, **more: Any) -> Any:
    return evaluate(folder, output, run=look_ahead, **more)


def test_a_missing_package_is_named(sides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.metrics.speech.find_spec", lambda _: None)
    with pytest.raises(SpecError, match=r"^metrics: pesq_wb: the package pesq is not installed: pip install"):
        look_ahead_of(sides, tmp_path / "store", metrics="[pesq_wb]")


def test_a_program_can_read_the_summary(sides: Path, scored: Summary) -> None:
    told = latentmill(
        *("run", "evaluate_folders", "--json", f"--set=reference.path={sides / 'ref'}"),
        *(f"--set=candidate.path={sides / 'out'}", f"--set=output={scored.store}"),
    )
    assert told.returncode == 0, told.stderr
    findings = json.loads(told.stdout)["findings"]
    assert [one["metric"] for one in findings] == list(DEFAULT_METRICS)
    assert findings[0]["num_values"] == 12


PESQ_STAND_IN = """
import ctypes
class BufferTooShortError(RuntimeError): pass
class NoUtterancesError(RuntimeError): pass
def pesq(rate, reference, degraded, mode):
    if len(reference) == 7000: ctypes.string_at(0)
    return 3.5
"""


def test_a_metric_that_kills_its_process_costs_one_value(
    sides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pesq.py").write_text(PESQ_STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pesq", raising=False)
    summary = evaluate(sides, tmp_path / "store", metrics="[snr_db, pesq_wb]")
    rows = {row["source"]: row for row in LatentStore(summary.store).select().to_pylist()}
    assert len(rows) == 12
    assert {name for name, row in rows.items() if row["pesq_wb_status"] == "crash"} == {"02.wav"}
    assert {row["pesq_wb"] for name, row in rows.items() if name != "02.wav"} == {3.5}
    assert all(row["snr_db_status"] == "ok" for row in rows.values())
    assert "pesq_wb without a value: 1 crash" in describe_summary(summary)
