"""Several sounds for each clip, of which the best is kept; and what a CLAP model hears of them."""

from pathlib import Path

import numpy as np
import pytest

from jobs.verify import verify_store
from pipeline.store import LatentStore
from tests.jobs.test_generate import generate, rows_of
from tests.workers.models.hearing_models import write_clap

PROMPTS = "prompt\na dog\nrain\nglass\n"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.csv"
    path.write_text(PROMPTS)
    return path


def test_the_loudest_of_three_is_kept(table: Path, tmp_path: Path) -> None:
    generate(table, tmp_path / "one", variations=2)
    made = generate(table, tmp_path / "best", variations=2, gate={"best_of": 3, "best_by": "loudness_lufs"})
    one, best = rows_of(LatentStore(tmp_path / "one")), rows_of(LatentStore(tmp_path / "best"))
    assert one.keys() == best.keys()
    assert {row["candidate"] for row in best.values()} > {0}
    for name, row in best.items():
        assert row["loudness_lufs"] >= one[name]["loudness_lufs"]
        same = np.array_equal(row["codes"], one[name]["codes"])
        assert same == (row["candidate"] == 0)
    found = verify_store(made.store, fraction=1.0)
    assert found.sound, found.findings
    again = generate(
        table,
        tmp_path / "again",
        variations=2,
        gate={"best_of": 3, "best_by": "loudness_lufs"},
        placement={"units_per_block": 1},
    )
    assert again.manifest.content_digest == made.manifest.content_digest


def test_a_model_hears_how_near_sounds_are_to_their_texts(table: Path, tmp_path: Path) -> None:
    clap = {"weights": str(write_clap(tmp_path / "clap"))}
    generate(table, tmp_path / "heard", clap=clap)
    heard = rows_of(LatentStore(tmp_path / "heard"))
    assert all(-1 <= row["clap"] <= 1 for row in heard.values())
    limit = float(np.median([row["clap"] for row in heard.values()]))
    gate = {"best_of": 2, "best_by": "clap", "min_clap": limit}
    made = generate(table, tmp_path / "best", clap=clap, gate=gate)
    for name, row in rows_of(LatentStore(tmp_path / "best")).items():
        assert row["clap"] >= heard[name]["clap"]
        assert row["verdict"] == ("accepted" if row["clap"] >= limit else "off_prompt")
    found = verify_store(made.store, fraction=1.0)
    assert found.sound, found.findings


def test_a_model_without_a_tokenizer_is_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no tokenizer beside the model"):
        generate(table, tmp_path / "store", clap={"weights": str(write_clap(tmp_path / "clap", tokenizer=False))})


def test_what_does_not_fit_together_is_told_in_one_line(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gate asks how near .* there is no clap model: set clap.weights$"):
        generate(table, tmp_path / "store", gate={"min_clap": 0.1})
