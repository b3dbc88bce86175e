"""`kind: generate` from table to store: what is stored, that it comes out the same again, and what a bad row costs."""

import io
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from jobs.generate_job import GenerateJob
from jobs.recompute import Remaker
from jobs.replay import replay_unit
from jobs.summary import Summary
from jobs.verify import verify_store
from pipeline.quarantine import read_quarantine
from pipeline.store import LatentStore
from tests.jobs.command import COMMAND, finished, parts_of, started, wait_for_parts
from tests.jobs.stores import run_in_a_loop

PROMPTS = (
    """prompt,category,duration_seconds,negative_prompt,top_k,guidance_scale,seed
a dog barks twice,animal,1.01,,,,
rain on a tin roof,weather,0.5,music,,,
"über die Brücke, ein Zug",train,,,1,,
,nothing,,,,,
glass breaks,foley,0.5,,,1,77
long """
    + "x" * 300
    + """,foley,,,,,
"""
)


def generate(table: Path, output: Path, *, prune: bool = False, **changes: Any) -> Summary:
    spec: dict[str, Any] = {
        "source": {"path": table},
        "output": output,
        "model": {"weights": "random"},
        "duration_seconds": 0.6,
        "microbatch": 4,
        "limits": {"max_failed_fraction": 0.5},
    }
    return run_in_a_loop(GenerateJob.model_validate(spec | changes), prune=prune)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.csv"
    path.write_text(PROMPTS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, LatentStore]:
    output = tmp_path_factory.mktemp("store") / "sounds"
    summary = generate(table, output, variations=2)
    return summary, LatentStore(output)


def rows_of(store: LatentStore) -> dict[str, dict[str, Any]]:
    return {row["sample_id"]: row for row in (store[place] for place in range(len(store)))}


def test_a_row_tells_all_that_its_sound_was_made_by(made: tuple[Summary, LatentStore]) -> None:
    _, store = made
    rows = {(row["prompt"], row["sample_id"][-1]): row for row in rows_of(store).values()}
    assert len(rows) == 8
    rain, train, glass = (
        rows["rain on a tin roof", "1"],
        rows["über die Brücke, ein Zug", "0"],
        rows["glass breaks", "0"],
    )
    assert (rain["negative_prompt"], rain["top_k"], rain["guidance_scale"]) == ("music", 250, 3.0)
    assert (train["negative_prompt"], train["top_k"], train["category"]) == ("", 1, "train")
    assert (glass["guidance_scale"], glass["prompt_seed"], rain["prompt_seed"]) == (1.0, 77, None)
    assert (rain["duration_seconds"], train["duration_seconds"]) == (0.5, 0.6)
    for row in rows.values():
        assert row["codes"].shape == (4, -(-round(row["duration_seconds"] * 16_000) // 320))
        assert row["codes"].max() < 64
        assert row["peak"] > 0
        assert row["verdict"] == "accepted"
        assert 0 <= row["silence_fraction"] <= 1


def test_sounds_are_as_long_as_they_were_to_be(made: tuple[Summary, LatentStore]) -> None:
    """Not as the codec's frames: 1.01 s is 50 frames and a half."""
    for row in rows_of(made[1]).values():
        sound, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        assert (len(sound), rate) == (round(row["duration_seconds"] * 16_000), 16_000)
        assert np.abs(sound).max() == pytest.approx(min(row["peak"], 1.0), abs=1e-4)


def test_variations_and_greedy_ones(made: tuple[Summary, LatentStore]) -> None:
    codes = {name: row["codes"] for name, row in rows_of(made[1]).items()}
    pairs = [(name, f"{name[:-1]}1") for name in codes if name.endswith("#0")]
    assert len(pairs) == 4
    for first, second in pairs:
        assert np.array_equal(codes[first], codes[second]) == first.startswith("uber")  # which is greedy


def test_bad_rows_cost_themselves(made: tuple[Summary, LatentStore]) -> None:
    summary, store = made
    quarantine = {row["sample_id"]: row for row in read_quarantine(store.path).to_pylist()}
    reasons = sorted({(row["stage"], row["error_type"], row["reason"][:46]) for row in quarantine.values()})
    assert reasons == [
        ("model", "PromptError", "prompt: a text has 306 tokens, and max_text_le"),
        ("probe", "PromptError", "the prompt is empty"),
    ]
    assert len(quarantine) == 3
    assert {group.remedy.partition(" ")[0] for group in summary.failures} == {"mend"}


def test_the_store_is_sound_and_its_clips_can_be_made_again(made: tuple[Summary, LatentStore]) -> None:
    path = made[1].path
    found = verify_store(path, fraction=1.0)
    assert found.sound
    assert found.recomputation is not None
    assert found.recomputation.num_equal == 8
    assert replay_unit(path, next(iter(rows_of(made[1])))).equal
    assert Remaker(path).microbatch == 4


@pytest.mark.parametrize("units_per_block", [1, 3])
def test_blocks_do_not_matter(
    table: Path, made: tuple[Summary, LatentStore], tmp_path: Path, units_per_block: int
) -> None:
    again = generate(table, tmp_path / "again", variations=2, placement={"units_per_block": units_per_block})
    assert again.manifest.content_digest == made[0].manifest.content_digest


def test_a_changed_table_makes_just_what_is_new(tmp_path: Path) -> None:
    """Other rows first, one gone, one new: those that were there are kept. And a row's own seed is its clip."""
    own, output = tmp_path / "p.csv", tmp_path / "sounds"
    own.write_text("prompt,seed\na,\nb,5\nc,\n")
    before = generate(own, output)
    own.write_text("prompt,seed\nnew,\nc,\nb,5\n")
    after = generate(own, output, prune=True)
    assert (before.num_new, after.num_new, after.num_kept) == (3, 1, 2)
    other = generate(own, tmp_path / "other", seed=99)
    assert other.manifest.content_digest != after.manifest.content_digest
    codes = [
        {row["prompt"]: row["codes"].tobytes() for row in rows_of(LatentStore(path)).values()}
        for path in (output, tmp_path / "other")
    ]
    assert codes[0]["b"] == codes[1]["b"]
    assert codes[0]["c"] != codes[1]["c"]


def test_a_row_that_turns_bad_loses_its_clip_and_gets_it_back(tmp_path: Path) -> None:
    """Though the settings that it falls back to are those that its clip was made by."""
    own, output = tmp_path / "p.csv", tmp_path / "sounds"
    found = []
    for top_k in ("", "-5", ""):
        own.write_text(f"id,prompt,top_k\n1,a,{top_k}\n2,b,3\n")
        summary = generate(own, output, source={"path": own, "id_column": "id"})
        found.append((summary.num_new, sorted(rows_of(LatentStore(output))), read_quarantine(str(output)).num_rows))
    assert found == [(2, ["1#0", "2#0"], 0), (0, ["2#0"], 1), (1, ["1#0", "2#0"], 0)]


def test_replay_of_a_bad_row_says_what_is_wrong_with_it(made: tuple[Summary, LatentStore]) -> None:
    path = made[1].path
    (bad,) = (row["sample_id"] for row in read_quarantine(path).to_pylist() if row["stage"] == "probe")
    replay = replay_unit(path, bad)
    assert replay.equal
    assert replay.failure == replay.quarantined_reason == "probe: the prompt is empty"


def test_more_variations_go_into_the_same_store(tmp_path: Path) -> None:
    table = tmp_path / "p.txt"
    table.write_text("a\nb\n")
    first = generate(table, tmp_path / "sounds")
    more = generate(table, tmp_path / "sounds", variations=3)
    assert (first.num_new, more.num_new, more.num_kept) == (2, 4, 2)
    at_once = generate(table, tmp_path / "at-once", variations=3)
    assert at_once.manifest.content_digest == more.manifest.content_digest


def test_a_text_encoder_of_another_width_is_refused_before_anything_starts(tmp_path: Path) -> None:
    table = tmp_path / "p.txt"
    table.write_text("a\n")
    other = {"text_encoder": {"weights": "random", "random_dim": 48}, "weights": "random"}
    with pytest.raises(ValueError, match="gives states of width 48, and random takes 32"):
        generate(table, tmp_path / "sounds", model=other)
    assert not (tmp_path / "sounds").exists()


def test_gates_give_verdicts(tmp_path: Path) -> None:
    table = tmp_path / "p.txt"
    table.write_text("a\nb\n")
    verdicts = {}
    for name, gate in {
        "too_quiet": {"min_loudness_lufs": -1.0},
        "accepted": {"min_loudness_lufs": -60.0, "max_silence": 0.9, "max_clipped": 0.9},
    }.items():
        generate(table, tmp_path / name, gate=gate)
        verdicts[name] = {row["verdict"] for row in rows_of(LatentStore(tmp_path / name)).values()}
    assert verdicts == {"too_quiet": {"too_quiet"}, "accepted": {"accepted"}}


@pytest.mark.slow
def test_a_thousand_prompts_killed_twice_equal_an_undisturbed_run(tmp_path: Path) -> None:
    """SIGKILL of the driver and all that it started, by another number of actors each time."""
    table = tmp_path / "prompts.csv"
    rows = [f"sound number {number},{number % 7},{0.2 + number % 3 / 10:.1f}" for number in range(1000)]
    table.write_text("\n".join(["prompt,group,duration_seconds", *rows]) + "\n")

    def command(output: Path, actors: int) -> list[str]:
        values = {
            "source.path": table,
            "output": output,
            "model.weights": "random",
            "placement.actors": actors,
            "placement.units_per_block": 16,
            "placement.units_per_file": 32,
        }
        return [*COMMAND, "run", "generate_audiogen", *(f"--set={name}={value}" for name, value in values.items())]

    assert finished(command(tmp_path / "whole", 1)).returncode == 0
    for count in (6, 17):
        process = started(command(tmp_path / "killed", 2))
        wait_for_parts(process, tmp_path / "killed", count)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    last = finished(command(tmp_path / "killed", 1))
    assert last.returncode == 0, last.stderr
    manifests = [LatentStore(tmp_path / name).manifest for name in ("whole", "killed")]
    assert manifests[0].totals.num_units == 1000
    assert manifests[0].content_digest == manifests[1].content_digest
    assert len(parts_of(tmp_path / "killed")) > 20
