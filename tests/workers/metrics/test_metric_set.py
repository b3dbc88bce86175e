"""Pairs scored through the names."""

import sys
from typing import Any, get_args

import numpy as np
import pytest
import threadpoolctl
import torch

from workers.metrics.metric_names import DEFAULT_METRICS, PairMetric
from workers.metrics.metric_set import METRICS, Scorer
from workers.metrics.outcome import Score
from workers.metrics.pair import MismatchError, Pair

RATES = {"reference_rate_hz": 16_000, "degraded_rate_hz": 16_000}


def test_names_and_metrics_agree() -> None:
    assert tuple(METRICS) == get_args(PairMetric)
    assert all(METRICS[name].package is None for name in DEFAULT_METRICS)


@pytest.mark.usefixtures("pesq")
def test_every_metric_is_better_for_the_better_clip(make_clip: Any, degrade: Any) -> None:
    clip = make_clip("syllables")
    once = degrade(clip)
    with Scorer(tuple(METRICS), hop_length=0) as scorer:
        near, far = scorer(clip, once, **RATES), scorer(clip, degrade(once), **RATES)
    for name, metric in METRICS.items():
        worse = far[name].value - near[name].value
        assert worse > 0 if metric.better == "lower" else worse < 0, name


def test_the_default_needs_neither_a_package_nor_a_child(
    monkeypatch: pytest.MonkeyPatch, make_clip: Any, degrade: Any
) -> None:
    for package in ("pesq", "pystoi"):
        monkeypatch.setitem(sys.modules, package, None)
    clip = make_clip("chord")
    with Scorer(hop_length=0) as scorer:
        found = scorer(clip, degrade(clip), **RATES)
    assert tuple(found) == DEFAULT_METRICS
    assert {score.status for score in found.values()} == {"ok"}


@pytest.mark.usefixtures("threads")
def test_scores_depend_on_the_pair_alone(make_clip: Any, degrade: Any) -> None:
    names: tuple[PairMetric, ...] = (*DEFAULT_METRICS, "stoi", "estoi")
    clips = [make_clip(name) for name in ("chord", "bursts", "odd length", "faint")]
    pairs = [(clip, degrade(clip)) for clip in clips]
    pairs[1][1][50] = np.nan
    alone = [Scorer(names, hop_length=0)(*pair, **RATES) for pair in pairs]
    scorer = Scorer(names, hop_length=0)
    assert [scorer(*pair, **RATES) for pair in reversed(pairs)] == alone[::-1]
    for num_threads in (1, 3):
        torch.set_num_threads(num_threads)
        with threadpoolctl.threadpool_limits(num_threads):
            assert [scorer(*pair, **RATES) for pair in pairs] == alone


def test_one_sample_and_none() -> None:
    scorer = Scorer(hop_length=0)
    one = scorer(np.array([0.5]), np.array([0.4]), **RATES)
    assert one["snr_db"].value == pytest.approx(20 * np.log10(5), rel=0, abs=1e-6)
    assert one["si_sdr_db"] == Score(np.inf, "ok")
    assert {one[name].status for name in ("lsd", "log_mel_l1", "mrstft", "correlation")} == {"too_short"}
    assert {score.status for score in scorer(np.zeros(0), np.zeros(0), **RATES).values()} == {"too_short"}


def test_lengths_may_differ_by_a_hop(make_clip: Any, degrade: Any) -> None:
    clip = make_clip("bursts")
    worse = degrade(clip)
    scorer = Scorer(hop_length=160)
    assert scorer(clip, worse[:-160], **RATES) == scorer(clip[:-160], worse[:-160], **RATES)
    with pytest.raises(MismatchError, match="may differ by 160"):
        scorer(clip, worse[:-161], **RATES)


def test_inputs_are_left_alone(make_clip: Any, degrade: Any) -> None:
    clip = make_clip("chord")
    worse = degrade(clip)
    before = clip.copy(), worse.copy()
    Scorer((*DEFAULT_METRICS, "estoi"), hop_length=0)(clip, worse, **RATES)
    np.testing.assert_array_equal(clip, before[0])
    np.testing.assert_array_equal(worse, before[1])
    assert isinstance(Pair.of(clip, worse, **RATES, hop_length=0).reference.sum(), float)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("snr_db", "sdr"), r"unknown metrics \['sdr'\]: choose from \['log_mel_l1', "),
        (("lsd", "lsd"), r"given twice in \['lsd', 'lsd'\]: name each once"),
    ],
)
def test_refuses(names: tuple[PairMetric, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scorer(names, hop_length=0)


def test_a_missing_package_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    with pytest.raises(ImportError, match=r"pip install latentmill\[speech\]"):
        Scorer(("pesq_nb",), hop_length=0)
