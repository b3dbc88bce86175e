"""Pairs scored in batches."""

from typing import Any

import numpy as np
import pytest
import torch

from workers.evaluate_worker import EvaluateWorker
from workers.evaluate_worker_spec import EvaluateWorkerSpec
from workers.metrics.metric_names import DEFAULT_METRICS, PAIR_STATUSES, STATUSES
from workers.metrics.metric_set import Scorer

RATE = 16_000


def batch_of(*pairs: tuple[Any, Any], statuses: list[str] | None = None) -> dict[str, torch.Tensor]:
    longest = max(len(reference) for reference, _ in pairs)
    waveform = torch.zeros(len(pairs), 2, longest)
    for row, pair in enumerate(pairs):
        for side, clip in enumerate(pair):
            waveform[row, side, : len(clip)] = torch.from_numpy(clip)
    return {
        "waveform": waveform,
        "num_samples": torch.tensor([len(reference) for reference, _ in pairs]),
        "seed": torch.zeros(len(pairs), dtype=torch.int64),
        "pair_status": torch.tensor(
            [PAIR_STATUSES.index(status) for status in statuses or ["ok"] * len(pairs)],  # type: ignore[arg-type]
            dtype=torch.int8,
        ),
    }


@pytest.fixture
def pairs() -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(0)
    made = []
    for length in (9000, 300, 5000):
        clip = rng.uniform(-0.5, 0.5, length).astype(np.float32)
        made.append((clip, clip + rng.normal(0, 0.05, length).astype(np.float32)))
    made[2][0][:] = 0
    return made


def test_values_are_those_of_the_metrics_and_depend_on_the_pair_alone(pairs: list[tuple[Any, Any]]) -> None:
    worker = EvaluateWorker(EvaluateWorkerSpec(sample_rate=RATE))
    together = worker(batch_of(*pairs))
    scorer = Scorer(DEFAULT_METRICS, hop_length=0)
    seen = set()
    for row, pair in enumerate(pairs):
        alone = worker(batch_of(pair))
        for name, score in scorer(*pair, reference_rate_hz=RATE, degraded_rate_hz=RATE).items():
            value, status = together[name][row].item(), STATUSES[together[f"{name}_status"][row]]
            assert (None if np.isnan(value) else value, status) == (score.value, score.status)
            assert torch.equal(alone[name], together[name][row : row + 1]) or np.isnan(value)
            seen.add(status)
    assert seen == {"ok", "too_short", "silent_reference"}


def test_what_is_no_pair_has_the_status_that_says_so(pairs: list[tuple[Any, Any]]) -> None:
    spec = EvaluateWorkerSpec(sample_rate=RATE, metrics=("snr_db", "lsd"))
    found = EvaluateWorker(spec)(batch_of(*pairs, statuses=["ok", "no_candidate", "length_mismatch"]))
    assert [STATUSES[place] for place in found["snr_db_status"]] == ["ok", "no_candidate", "length_mismatch"]
    assert found["snr_db"].isnan().tolist() == [False, True, True]
    assert {column.name for column in spec.outputs(9000, 2)} == set(found)


def test_threads_are_left_as_they_were(pairs: list[tuple[Any, Any]]) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        EvaluateWorker(EvaluateWorkerSpec(sample_rate=RATE))(batch_of(*pairs))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_unit_that_is_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="expected units of a reference and a candidate, got 1"):
        EvaluateWorkerSpec().outputs(100, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": ("lsd", "lsd")}, "repeat one"),
        ({"metrics": ("stoi",), "sample_rate": 44_100}, "stoi, defined at 16,000 Hz, but sample_rate is 44,100"),
    ],
)
def test_metrics_that_cannot_be_computed_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluateWorkerSpec(**settings)
