"""Two clips that a metric compares, and the rules that hold before any metric."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from workers.metrics.outcome import Undefined


class MismatchError(ValueError):
    """The two clips cannot be compared: their rates or lengths do not belong together."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A reference and what became of it, made by `Pair.of`."""

    reference: NDArray[np.float64]
    """[T], read-only."""

    degraded: NDArray[np.float64]
    """[T], read-only."""

    sample_rate: int
    """Of both, Hz."""

    @classmethod
    def of(
        cls,
        reference: NDArray[np.floating[Any]],
        degraded: NDArray[np.floating[Any]],
        *,
        reference_rate_hz: int,
        degraded_rate_hz: int,
        hop_length: int,
    ) -> Self:
        """Pair two clips up.

        Samples become float64 first, so that float32 clips give the float64 answer of their values: in float32 the
        noise of a quiet clip drowns in rounding. Channels are averaged into one on either side, so that a pair has one
        value and one status, and a stereo recording can be held against a mono reconstruction; errors of opposite sign
        in two channels cancel. To judge channels apart, pair them apart.

        A model's output ends at a whole hop, so it may be shorter or longer than what it came from by one hop at most;
        both are cut to the shorter:

            reference  |---hop---|---hop---|---hop---|--.
            degraded   |---hop---|---hop---|---hop---|
            compared   |<--------------------------->|

        Args:
            reference: floating [T] or [C, T].
            degraded: floating [T] or [C, T], C may differ.
            reference_rate_hz: Its sample rate.
            degraded_rate_hz: Its sample rate.
            hop_length: By how many samples the lengths may differ; 0 demands equal lengths.

        Raises:
            MismatchError: The rates differ, or the lengths by more than a hop.
            TypeError: Samples are not floating.
            ValueError: A shape is neither [T] nor [C, T] with a channel.
        """
        if reference_rate_hz != degraded_rate_hz:
            raise MismatchError(
                f"the reference has {reference_rate_hz} Hz and the degraded clip {degraded_rate_hz} Hz: resample one "
                "to the other's rate"
            )
        first, second = _mono(reference, "reference"), _mono(degraded, "degraded clip")
        if abs(len(first) - len(second)) > hop_length:
            raise MismatchError(
                f"the reference has {len(first)} samples and the degraded clip {len(second)}: {len(first)} - "
                f"{len(second)} = {len(first) - len(second)}, but they may differ by {hop_length} (one hop) at most"
            )
        length = min(len(first), len(second))
        return cls(first[:length], second[:length], reference_rate_hz)

    @property
    def num_samples(self) -> int:
        """T."""
        return len(self.reference)

    @cached_property
    def reference_energy(self) -> float:
        """Sum of squares."""
        return sum_of_squares(self.reference)

    @cached_property
    def degraded_energy(self) -> float:
        """Sum of squares."""
        return sum_of_squares(self.degraded)

    def obstacle(self, *, min_samples: int, reference_sounds: bool, degraded_sounds: bool) -> Undefined | None:
        """What keeps a metric from having a value for this pair, the first of: not finite, too short, silent.

        Args:
            min_samples: Fewest samples that the metric needs.
            reference_sounds: Whether it divides by the reference.
            degraded_sounds: Whether it divides by the degraded clip.
        """
        if not (math.isfinite(self.reference_energy) and math.isfinite(self.degraded_energy)):
            return "nonfinite"
        if self.num_samples < min_samples:
            return "too_short"
        if reference_sounds and self.reference_energy == 0.0:
            return "silent_reference"
        if degraded_sounds and self.degraded_energy == 0.0:
            return "silent_degraded"
        return None


def sum_of_squares(values: NDArray[np.float64]) -> float:
    """NumPy's pairwise sum: unlike a BLAS dot product, it gives the same bits for any number of threads."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.square(values).sum())


def _mono(waveform: NDArray[np.floating[Any]], name: str) -> NDArray[np.float64]:
    """[T], read-only."""
    if not np.issubdtype(waveform.dtype, np.floating):
        raise TypeError(f"the {name} has {waveform.dtype} samples: scale them to floating numbers in [-1, 1]")
    if waveform.ndim not in (1, 2) or (waveform.ndim == 2 and len(waveform) == 0):
        raise ValueError(
            f"the {name} has the shape {list(waveform.shape)}; expected [T] or [C, T] with C of at least 1"
        )
    if waveform.ndim == 2:
        with np.errstate(over="ignore", invalid="ignore"):
            waveform = waveform[0] if len(waveform) == 1 else waveform.mean(axis=0, dtype=np.float64)
    mono = np.ascontiguousarray(waveform, dtype=np.float64).view()
    mono.flags.writeable = False
    return mono
