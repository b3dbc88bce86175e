"""Sets of sounds that need be neither pairs nor of one size, compared by what is heard in them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from jobs.spec_error import SpecError
from jobs.summary import Summary, describe_summary
from jobs.verify import verify_store
from pipeline.store import LatentStore
from tests.jobs.report_page import page_of
from tests.jobs.stores import run_in_a_loop
from tests.jobs.test_evaluate_job import RATE, evaluate, look_ahead_of, noise, write, write_sides
from tests.jobs.test_set_evaluation import frechet
from workers.metrics.log_mel_statistics import log_mel_statistics

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
