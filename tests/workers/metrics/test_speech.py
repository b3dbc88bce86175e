"""The references are the packages themselves; what PESQ does to its process is played by a stand-in of its name."""

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pystoi
import pytest

from workers.guarded.guard import Guard, GuardError
from workers.guarded.limits import GuardLimits
from workers.metrics.outcome import Score
from workers.metrics.pair import MismatchError, Pair
from workers.metrics.speech import estoi, pesq_nb, pesq_wb, stoi

RATE = 16_000

STAND_IN = """
import ctypes, os, signal, time
class BufferTooShortError(RuntimeError): pass
class NoUtterancesError(RuntimeError): pass
def pesq(rate, reference, degraded, mode):
    act = round(float(degraded[0]))
    if act == 2: ctypes.string_at(0)
    if act == 3: os.kill(os.getpid(), signal.SIGKILL)
    if act == 4: time.sleep(60)
    if act == 5: raise RuntimeError("no memory")
    if act == 6: raise BufferTooShortError
    if act == 7: raise NoUtterancesError
    if act == 8: raise ImportError("libpesq is broken")
    return len(reference) / rate
"""


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    with Guard(GuardLimits(seconds=60)) as guard:
        yield guard


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    """A guard whose child finds a `pesq` that does what a clip's first sample says."""
    (tmp_path / "pesq.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pesq", raising=False)
    with Guard(GuardLimits(seconds=2)) as guard:
        yield guard


def acting(act: int, seconds: float = 1.0) -> Pair:
    clip = np.sin(np.arange(int(seconds * RATE)) / 5)
    degraded = clip.copy()
    degraded[0] = act
    return Pair.of(clip, degraded, reference_rate_hz=RATE, degraded_rate_hz=RATE, hop_length=0)


@pytest.mark.parametrize(("metric", "extended"), [(stoi, False), (estoi, True)])
def test_equals_pystoi(metric: Callable[[Pair], Score], extended: bool, pair_16k: Pair) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pystoi.stoi(pair_16k.reference, pair_16k.degraded, RATE, extended=extended)
    found = metric(pair_16k)
    if expected == 1e-5:
        assert found == Score(None, "too_short")
    else:
        assert found.value == pytest.approx(expected, rel=0, abs=1e-6)


def test_estoi_neither_hears_nor_disturbs_the_global_generator(make_pair: Any, make_clip: Any, degrade: Any) -> None:
    clip = make_clip("syllables")
    pair = make_pair(clip, degrade(clip))
    found = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        expected = np.random.random(3)  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        found.append(estoi(pair))
        np.testing.assert_array_equal(np.random.random(3), expected)  # noqa: NPY002
    assert found[0] == found[1]


@pytest.mark.parametrize("metric", [stoi, estoi])
def test_stoi_of_short_clips(metric: Callable[[Pair], Score], make_pair: Any) -> None:
    rng = np.random.default_rng(0)
    edge = None
    for num_samples in (0, 1, 304, 400, 4000, *range(6540, 6570)):
        clips = rng.standard_normal((2, num_samples))
        found = metric(make_pair(*clips))
        if num_samples > 400:  # below, pystoi raises an IndexError
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                too_short = pystoi.stoi(*clips, RATE) == 1e-5
            assert found.status == ("too_short" if too_short else "ok"), num_samples
            edge = edge or (None if too_short else num_samples)
        else:
            assert found == Score(None, "too_short")
    assert edge is not None
    mostly_silent = np.concatenate([rng.standard_normal(4000), np.zeros(20_000)])
    assert metric(make_pair(mostly_silent, mostly_silent)) == Score(None, "too_short")


@pytest.mark.parametrize("metric", [stoi, estoi])
def test_stoi_of_degenerate_clips(metric: Callable[[Pair], Score], make_pair: Any, make_clip: Any) -> None:
    clip = make_clip("syllables")
    silence = np.zeros_like(clip)
    assert metric(make_pair(clip, clip)).value == pytest.approx(1.0, rel=0, abs=1e-6)
    assert metric(make_pair(silence, clip)) == Score(None, "silent_reference")
    assert metric(make_pair(clip, silence)) == Score(None, "silent_degraded")
    assert metric(make_pair(clip, clip * np.nan)) == Score(None, "nonfinite")
    with pytest.raises(MismatchError, match="computed at 16000 Hz, and the clips have 22050 Hz: resample"):
        metric(make_pair(clip, clip, 22_050))


@pytest.mark.parametrize(("metric", "band"), [(pesq_wb, "wb"), (pesq_nb, "nb")])
def test_equals_pesq(metric: Any, band: str, pair_16k: Pair, guard: Guard, pesq: ModuleType) -> None:
    found = metric(pair_16k, guard)
    try:
        expected = pesq.pesq(RATE, pair_16k.reference, pair_16k.degraded, band)
    except pesq.NoUtterancesError:
        assert found == Score(None, "no_utterance")
    except pesq.BufferTooShortError:
        assert found == Score(None, "too_short")
    else:
        assert found.value == pytest.approx(expected, rel=0, abs=1e-3)


@pytest.mark.usefixtures("pesq")
def test_pesq_of_degenerate_clips(guard: Guard, make_pair: Any, make_clip: Any) -> None:
    clip = make_clip("syllables")
    silence = np.zeros_like(clip)
    for metric, best in ((pesq_wb, 4.64), (pesq_nb, 4.55)):
        assert metric(make_pair(clip, clip), guard).value == pytest.approx(best, rel=0, abs=0.01)
        assert metric(make_pair(silence, clip), guard) == Score(None, "silent_reference")
        assert metric(make_pair(clip, silence), guard) == Score(None, "silent_degraded")
        assert metric(make_pair(clip, clip * np.nan), guard) == Score(None, "nonfinite")
        for num_samples in (0, 1, 304, 3999):
            assert metric(make_pair(clip[:num_samples], clip[:num_samples]), guard) == Score(None, "too_short")
        bursts = make_clip("bursts")
        assert metric(make_pair(bursts, bursts), guard) == Score(None, "no_utterance")


@pytest.mark.usefixtures("pesq")
def test_pesq_has_no_memory(guard: Guard, make_pair: Any, make_clip: Any, degrade: Any) -> None:
    clips = [make_clip(name) for name in ("syllables", "bursts", "odd length")]
    pairs = [make_pair(clip, degrade(clip)) for clip in clips]
    forth = [pesq_wb(pair, guard) for pair in pairs]
    assert [pesq_wb(pair, guard) for pair in reversed(pairs)] == forth[::-1]


@pytest.mark.usefixtures("pesq")
def test_pesq_hears_20_seconds(guard: Guard, make_pair: Any) -> None:
    # 36 s of bursts: `pesq` on all of it writes behind its arrays of 50 utterances and kills its process.
    time = np.arange(36 * RATE) / RATE
    clip = np.random.default_rng(3).standard_normal(len(time)) * ((time % 0.7) < 0.35)
    worse = clip + 0.1 * np.random.default_rng(4).standard_normal(len(time))
    found = pesq_wb(make_pair(clip, worse), guard)
    assert found.status == "ok"
    assert found == pesq_wb(make_pair(clip[: 20 * RATE], worse[: 20 * RATE]), guard)


@pytest.mark.parametrize(
    ("act", "status"), [(2, "crash"), (4, "crash"), (5, "crash"), (6, "too_short"), (7, "no_utterance")]
)
def test_a_failure_costs_its_own_value(act: int, status: str, stand_in: Guard) -> None:
    assert pesq_wb(acting(0, 1.5), stand_in) == Score(1.5, "ok")
    assert pesq_wb(acting(act), stand_in) == Score(None, status)  # type: ignore[arg-type]
    assert pesq_nb(acting(0, 2.5), stand_in) == Score(2.5, "ok")


def test_whatever_pystoi_raises_costs_its_own_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> float:
        raise ValueError("zero-size array")

    monkeypatch.setattr(pystoi, "stoi", fail)
    assert stoi(acting(0)) == Score(None, "crash")


def test_no_more_than_20_seconds_reach_pesq(stand_in: Guard) -> None:
    assert pesq_wb(acting(0, 36.0), stand_in) == Score(20.0, "ok")


def test_what_is_not_the_clips_fault_is_raised(stand_in: Guard) -> None:
    with pytest.raises(GuardError, match=r"killed twice, but not by the clip: it had its process killed by SIGKILL"):
        pesq_wb(acting(3), stand_in)
    with pytest.raises(ImportError, match="libpesq is broken"):
        pesq_wb(acting(8), stand_in)
    with pytest.raises(MismatchError, match="the clips have 8000 Hz"):
        pesq_nb(Pair(np.ones(9), np.ones(9), 8_000), stand_in)


@pytest.mark.parametrize("package", ["pesq", "pystoi"])
def test_a_missing_package_says_how_to_install_it(package: str, monkeypatch: pytest.MonkeyPatch, guard: Guard) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"package {package} is not installed: pip install latentmill\[speech\]"):
        pesq_wb(acting(0), guard) if package == "pesq" else stoi(acting(0))
