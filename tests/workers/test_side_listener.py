"""Clips by themselves: which are heard, what the others are called, and what is said when memory runs out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.workers.models.hearing_models import write_ast, write_clap
from workers.evaluate_worker import EvaluateWorker
from workers.evaluate_worker_spec import EvaluateWorkerSpec
from workers.metrics.clap_score import clap_score
from workers.metrics.embedding import Embedding
from workers.metrics.log_mel_statistics import log_mel_statistics
from workers.metrics.log_mel_statistics_spec import LogMelStatisticsSpec
from workers.metrics.metric_names import STATUSES
from workers.models.ast_spec import AstSpec
from workers.models.clap_spec import ClapSpec
from workers.models.listener import Heard

RATE = 16_000
LENGTH = 9000


def batch_of(lengths: list[tuple[int, int]], texts: list[str | None] | None = None) -> dict[str, torch.Tensor]:
    """Noise, of which each side has so many samples."""
    rng = np.random.default_rng(0)
    waveform = torch.from_numpy(rng.normal(0, 0.1, (len(lengths), 2, LENGTH)).astype(np.float32))
    for row, both in enumerate(lengths):
        for side, length in enumerate(both):
            waveform[row, side, max(length, 0) :] = 0
    batch = {
        "waveform": waveform,
        "num_samples": torch.tensor([max(both) for both in lengths]),
        "seed": torch.zeros(len(lengths), dtype=torch.int64),
        "pair_status": torch.zeros(len(lengths), dtype=torch.int8),
        "side_samples": torch.tensor(lengths),
    }
    return batch if texts is None else {**batch, "text": [text or "" for text in texts]}


def statuses(columns: dict[str, torch.Tensor], name: str) -> list[str]:
    return [STATUSES[place] for place in columns[f"{name}_status"]]


def test_each_side_has_its_embedding_or_says_why_not() -> None:
    spec = EvaluateWorkerSpec(metrics=("fad",), embedding=LogMelStatisticsSpec())
    batch = batch_of([(9000, 5000), (-1, 4000), (-2, 3000), (8000, -1), (2000, 0)])
    columns = EvaluateWorker(spec)(batch)
    assert statuses(columns, "reference_embedding") == ["ok", "no_reference", "rate_mismatch", "ok", "ok"]
    assert statuses(columns, "candidate_embedding") == ["ok", "ok", "ok", "no_candidate", "too_short"]
    assert {column.name for column in spec.outputs(LENGTH, 2)} == set(columns)
    for row, (side, length) in enumerate([(1, 5000), (1, 4000), (1, 3000)]):
        expected = log_mel_statistics(batch["waveform"][row, side, :length].numpy(), RATE).values
        np.testing.assert_array_equal(columns["candidate_embedding"][row], expected)
    assert columns["candidate_embedding"][3:].isnan().all()


def test_clap_is_the_cosine_of_clip_and_text(tmp_path: Path) -> None:
    clap = ClapSpec(weights=str(write_clap(tmp_path / "clap")))
    spec = EvaluateWorkerSpec(metrics=("clap", "fad"), embedding=clap, clap=clap, text_column="caption", microbatch=2)
    worker = EvaluateWorker(spec)
    batch = batch_of([(9000, 5000), (9000, 5000), (-1, 4000), (5000, 100)], ["rain", " ", None, "dog"])
    columns = worker(batch)
    assert statuses(columns, "clap") == ["ok", "no_text", "no_reference", "too_short"]
    assert columns["clap"].isnan().tolist() == [False, True, True, True]
    prompts = worker._listener._prompts
    assert prompts is not None
    [text] = prompts[0]._read(["rain"])
    assert columns["clap"][0].item() == clap_score(text, columns["candidate_embedding"][0].numpy()).value
    assert {column.name for column in spec.outputs(LENGTH, 2)} | {"microbatch"} == set(columns)
    alone = worker({name: rows[:1] for name, rows in batch.items()})
    for name, rows in alone.items():
        assert torch.equal(rows, columns[name][:1])


def test_rows_say_how_many_were_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def short_of_memory(clips: Sequence[NDArray[np.float32]]) -> Heard:
        return Heard((Embedding(np.zeros(96, np.float32), "ok"),) * len(clips), (4, *(8,) * (len(clips) - 1)))

    monkeypatch.setattr("workers.side_listener.load_embedding", lambda *_, **__: short_of_memory)
    spec = EvaluateWorkerSpec(metrics=("fad",), embedding=LogMelStatisticsSpec(), microbatch=8)
    columns = EvaluateWorker(spec)(batch_of([(-1, 9000), (9000, 9000), (9000, -1), (-1, -1)]))
    assert columns["microbatch"].tolist() == [4, 4, 8, 8]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": ("fad",)}, "metrics has fad, but there is no embedding"),
        ({"metrics": ("inception_score", "lsd")}, "metrics has inception_score, but there is no classifier"),
        ({"metrics": ("clap",)}, "metrics has clap, but there is no clap"),
    ],
)
def test_metrics_without_their_model_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluateWorkerSpec(**settings)


def test_classes_are_columns_where_a_score_needs_them(tmp_path: Path) -> None:
    classifier = AstSpec(weights=str(write_ast(tmp_path / "ast")))
    spec = EvaluateWorkerSpec(metrics=("inception_score",), classifier=classifier, microbatch=2)
    columns = EvaluateWorker(spec)(batch_of([(9000, 5000), (9000, 100)]))
    assert columns["candidate_class_log_probabilities"].shape == (2, 5)
    assert statuses(columns, "candidate_class_log_probabilities") == ["ok", "too_short"]
    assert "kl_ref_gen" not in columns
