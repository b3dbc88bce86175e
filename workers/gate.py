"""Which sounds are accepted, and which of several is kept."""

from collections.abc import Mapping

import torch
from torch import Tensor

from workers.gate_spec import LOWER_IS_BETTER, VERDICTS, GateSpec


def verdicts(columns: Mapping[str, Tensor], gate: GateSpec) -> Tensor:
    """Places in VERDICTS, int8 [n]: why a sound is not accepted, the gravest reason first.

    Args:
        columns: `loudness_lufs`, `silence_fraction`, `clipped_fraction` and perhaps `clap`, float64 [n]; NaN where a
            sound is too quiet to have a loudness, or has no text.
        gate: What it has to pass.
    """
    loudness, verdict = columns["loudness_lufs"], torch.zeros(len(columns["loudness_lufs"]), dtype=torch.int8)
    fails = {  # later ones are graver
        "off_prompt": None if gate.min_clap is None else ~(columns["clap"] >= gate.min_clap),
        "clipped": None if gate.max_clipped is None else columns["clipped_fraction"] > gate.max_clipped,
        "too_silent": None if gate.max_silence is None else columns["silence_fraction"] > gate.max_silence,
        "too_quiet": None if gate.min_loudness_lufs is None else ~(loudness >= gate.min_loudness_lufs),
    }
    for name, failed in fails.items():
        if failed is not None:
            verdict[failed] = VERDICTS.index(name)
    return verdict


def best_candidates(columns: Mapping[str, Tensor], gate: GateSpec) -> Tensor:
    """Which of its candidates is kept of each clip, int64 [n / best_of], places among all n.

    Args:
        columns: As `verdicts` takes them, and its result as `verdict`; the candidates of a clip one behind another.
        gate: With `best_of`.
    """
    assert gate.best_of is not None
    assert gate.best_by is not None
    score = columns[gate.best_by] * (-1.0 if gate.best_by in LOWER_IS_BETTER else 1.0)
    score = torch.where(score.isnan(), -torch.inf, score).view(-1, gate.best_of)
    accepted = (columns["verdict"] == 0).view(-1, gate.best_of)
    kept = []
    for scores, passed in zip(score.tolist(), accepted.tolist(), strict=True):
        ranked = list(zip(passed, scores, strict=True))
        kept.append(ranked.index(max(ranked)))  # the first of equals
    return torch.tensor(kept) + gate.best_of * torch.arange(len(kept))
