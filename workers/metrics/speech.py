"""Metrics of speech, through the packages that define them; the extra `speech` installs those."""

import threading
import warnings
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from workers.guarded.guard import Guard, GuardError
from workers.guarded.outcome import Died, Raised, Value
from workers.metrics.metric_names import SPEECH_RATE_HZ
from workers.metrics.outcome import Score
from workers.metrics.pair import MismatchError, Pair

PESQ_MAX_SECONDS = 20
"""PESQ hears this much of a clip, from its beginning: on longer ones its C code writes behind its arrays."""

_PESQ_MIN_SAMPLES = SPEECH_RATE_HZ // 4
# pystoi resamples to 10 kHz and wants 30 frames of 256 samples every 128, behind one more than it counts.
_STOI_MIN_SAMPLES = (256 + 30 * 128) * SPEECH_RATE_HZ // 10_000 + 1
_STOI_TOO_SHORT = 1e-5
"""What pystoi returns, with a warning, where fewer than 30 frames are left when it has removed silent ones."""

_global_state = threading.Lock()
"""Held while pystoi runs: generator, number of BLAS threads and warning filters belong to the whole process."""


def pesq_wb(pair: Pair, guard: Guard) -> Score:
    """Wide-band PESQ, ITU-T P.862.2, as MOS-LQO of about 1.04 to 4.64, by `pesq` 0.0.4.

    https://doi.org/10.1109/ICASSP.2001.941023. It hears the first 20 s, with `pesq` in the guard's child process, since
    it kills its process on some clips. Undefined below a quarter of a second, where either clip is silent, and where
    PESQ finds no utterance.

    Args:
        pair: At 16 kHz.
        guard: Runs `pesq`; a minute per clip is ample.

    Raises:
        GuardError: The child process cannot be started, or was killed from outside (out of memory, or by a person).
        ImportError: The package `pesq` is missing.
        MismatchError: The clips have another rate.
    """
    return _pesq(pair, guard, "wb")


def pesq_nb(pair: Pair, guard: Guard) -> Score:
    """Narrow-band PESQ, ITU-T P.862 mapped by P.862.1, as MOS-LQO of about 1.02 to 4.56; else as `pesq_wb`."""
    return _pesq(pair, guard, "nb")


def stoi(pair: Pair) -> Score:
    """Short-time objective intelligibility, at most 1, by `pystoi` 0.4.1.

    Taal et al., https://doi.org/10.1109/TASL.2011.2114881. Undefined where either clip is silent, and where fewer than
    30 frames (about 0.4 s) of the reference are within 40 dB of its loudest.

    Args:
        pair: At 16 kHz.

    Raises:
        ImportError: The package `pystoi` is missing.
        MismatchError: The clips have another rate.
    """
    return _stoi(pair, extended=False)


def estoi(pair: Pair) -> Score:
    """Extended STOI, for noise that comes and goes: Jensen and Taal, https://doi.org/10.1109/TASLP.2016.2585878.

    pystoi adds noise of 2e-16 from NumPy's global generator. It is seeded alike for every clip, so that a clip has the
    same value in any company, and then put back to where it was. Else as `stoi`.
    """
    return _stoi(pair, extended=True)


def require(package: str) -> None:
    """Checks that a package of the extra `speech` is there, without importing it.

    Raises:
        ImportError: It is not.
    """
    if find_spec(package) is None:
        raise ImportError(f"the package {package} is not installed: pip install latentmill[speech]", name=package)


def _pesq(pair: Pair, guard: Guard, band: Literal["wb", "nb"]) -> Score:
    require("pesq")
    _check_rate(pair)
    if obstacle := pair.obstacle(min_samples=_PESQ_MIN_SAMPLES, reference_sounds=True, degraded_sounds=True):
        return Score.undefined(obstacle)
    heard = slice(PESQ_MAX_SECONDS * SPEECH_RATE_HZ)
    clips = pair.reference[heard], pair.degraded[heard]
    [outcome] = guard.each("workers.metrics.pesq_child:score_each", [clips], band=band)
    match outcome:
        case Value(value=Score() as score):
            return score
        case Died(killed_from_outside=True):
            raise GuardError(f"a process that computed PESQ was killed twice, but not by the clip: it {outcome.reason}")
        case Raised(error_type="ImportError"):
            raise ImportError(outcome.reason, name="pesq")
        case Died() | Raised():
            return Score.undefined("crash")
    raise TypeError(f"pesq_child gave {outcome}; expected a Score")


def _stoi(pair: Pair, *, extended: bool) -> Score:
    require("pystoi")
    require("threadpoolctl")
    _check_rate(pair)
    if obstacle := pair.obstacle(min_samples=_STOI_MIN_SAMPLES, reference_sounds=True, degraded_sounds=True):
        return Score.undefined(obstacle)
    import pystoi

    with _global_state, _blas().limit(limits=1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        state = np.random.get_state()  # noqa: NPY002 (the generator that pystoi draws from)
        np.random.seed(0)  # noqa: NPY002
        try:
            value = float(pystoi.stoi(pair.reference, pair.degraded, SPEECH_RATE_HZ, extended=extended))
        except Exception:  # noqa: BLE001 (whatever the package raises on a pair costs this one value)
            return Score.undefined("crash")
        finally:
            np.random.set_state(state)  # noqa: NPY002
    return Score.undefined("too_short") if value == _STOI_TOO_SHORT else Score.of(value)


@lru_cache(maxsize=1)
def _blas() -> Any:
    """What sets the number of BLAS threads; with another number pystoi's products have other last bits."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _check_rate(pair: Pair) -> None:
    if pair.sample_rate != SPEECH_RATE_HZ:
        raise MismatchError(
            f"PESQ and STOI are computed at {SPEECH_RATE_HZ} Hz, and the clips have {pair.sample_rate} Hz: resample"
        )
