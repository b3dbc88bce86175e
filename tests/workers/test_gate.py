"""Which sounds are accepted, and which of several is kept."""

from typing import Any

import pytest
import torch

from workers.gate import best_candidates, verdicts
from workers.gate_spec import VERDICTS, GateSpec
from workers.generate_worker_spec import GenerateWorkerSpec

NAN = float("nan")


def columns(**values: list[float]) -> dict[str, torch.Tensor]:
    count = len(next(iter(values.values())))
    quiet = {"loudness_lufs": [-20.0] * count, "silence_fraction": [0.0] * count, "clipped_fraction": [0.0] * count}
    return {name: torch.tensor(column, dtype=torch.float64) for name, column in {**quiet, **values}.items()}


def words(found: torch.Tensor) -> list[str]:
    return [VERDICTS[place] for place in found.tolist()]


def test_the_gravest_reason_is_told() -> None:
    gate = GateSpec(min_loudness_lufs=-40, max_silence=0.5, max_clipped=0.1, min_clap=0.2)
    sounds = columns(
        loudness_lufs=[-20, -50, NAN, -20, -20, -20, -20],
        silence_fraction=[0.5, 0.9, 1.0, 0.6, 0.0, 0.0, 0.0],
        clipped_fraction=[0.1, 0.2, 0.0, 0.2, 0.2, 0.0, 0.0],
        clap=[0.2, 0.0, 0.0, 0.0, 0.0, 0.1, NAN],
    )
    expected = ["accepted", "too_quiet", "too_quiet", "too_silent", "clipped", "off_prompt", "off_prompt"]
    assert words(verdicts(sounds, gate)) == expected


def test_without_a_gate_all_is_accepted() -> None:
    assert words(verdicts(columns(loudness_lufs=[NAN, -70.0]), GateSpec())) == ["accepted"] * 2


@pytest.mark.parametrize(
    ("by", "values", "best"),
    [
        ("loudness_lufs", [-30.0, -10.0, -20.0, -5.0, NAN, -6.0], [1, 3]),
        ("silence_fraction", [0.3, 0.1, 0.2, 0.5, 0.5, 0.6], [1, 3]),
        ("clap", [NAN, NAN, NAN, 0.1, 0.3, 0.3], [0, 4]),
    ],
)
def test_the_best_is_kept_and_the_first_of_equals(by: Any, values: list[float], best: list[int]) -> None:
    sounds = columns(**{by: values})
    sounds["verdict"] = torch.zeros(6, dtype=torch.int8)
    assert best_candidates(sounds, GateSpec(best_of=3, best_by=by)).tolist() == best


def test_an_accepted_sound_is_better_than_any_other() -> None:
    sounds = columns(loudness_lufs=[-5.0, -30.0, -20.0, -5.0, -9.0, -7.0])
    sounds["verdict"] = torch.tensor([2, 0, 0, 1, 2, 3], dtype=torch.int8)
    assert best_candidates(sounds, GateSpec(best_of=3, best_by="loudness_lufs")).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"best_of": 2}, "best_of and best_by belong together"),
        ({"best_by": "clap"}, "best_of and best_by belong together"),
        ({"best_of": 2, "best_by": "clap"}, "no clap model: set clap.weights"),
        ({"min_clap": 0.1}, "no clap model: set clap.weights"),
    ],
)
def test_settings_that_do_not_fit_together(gate: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenerateWorkerSpec.model_validate({"gate": gate})
