"""Recordings that a store was made from, read again as far as they are still where they were."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.decode import WAVEFORM, decode_block
from pipeline.failure import read_failures
from pipeline.planned import Plan
from pipeline.report.sounds import PLAYED_SECONDS
from workers.audio.decode_spec import DecodeSpec
from workers.guarded.limits import GuardLimits

_NEEDED = (
    "sample_id",
    "seed",
    "duration_seconds",
    "_path",
    "_member",
    "_start_sample",
    "_num_samples",
    "_bucket_samples",
    "_bucket_channels",
    "_probe_error",
)


class Recordings:
    """The source of a store's units, to be heard: mono, and cut to what a page plays."""

    def __init__(self, plan: Plan, *, sample_rate: int, limits: GuardLimits, listed_lengths: bool) -> None:
        """Opens nothing yet.

        Args:
            plan: Of the store.
            sample_rate: Hz; the rate that the plan counts samples at.
            limits: What reading one unit may cost.
            listed_lengths: The plan was cut by durations of a manifest, see `workers.media.decode.decode_each`.
        """
        self._plan = plan
        self.sample_rate = sample_rate
        self._spec = DecodeSpec(sample_rate=sample_rate, channels="mono")
        self._limits = limits
        self._listed_lengths = listed_lengths

    def rows(self, ids: Sequence[str]) -> pa.Table:
        """What the plan says of some units, in plan order."""
        return self._plan.filter(self._plan.named(pa.array(ids, pa.string()))).table(_NEEDED)

    def read(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32] | str]:
        """Samples float32 [T] of each unit that the plan has, or why there are none."""
        found: dict[str, NDArray[np.float32] | str] = {}
        rows = self.rows(ids)
        for place in range(rows.num_rows):
            unit = rows.slice(place, 1)
            found[unit["sample_id"][0].as_py()] = self._read_one(unit)
        return found

    def _read_one(self, unit: pa.Table) -> NDArray[np.float32] | str:
        # One sample more than is played, by which `clip_of_samples` sees that there is more.
        length = min(unit["_num_samples"][0].as_py(), round(PLAYED_SECONDS * self.sample_rate) + 1)
        for name, value in (("_num_samples", length), ("_bucket_samples", length), ("_bucket_channels", 1)):
            field = unit.schema.field(name)
            unit = unit.set_column(unit.schema.get_field_index(name), field, pa.array([value], field.type))
        decoded = decode_block(unit, self._spec, limits=self._limits, listed_lengths=self._listed_lengths)
        (failure,) = read_failures(decoded)
        if failure is not None:
            return failure.reason
        return np.frombuffer(decoded[WAVEFORM][0].as_py(), np.float32)
