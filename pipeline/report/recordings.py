"""Recordings that a store was made from, read again as far as they are still where they were."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.decode import WAVEFORM
from pipeline.failure import read_failures
from pipeline.inputs import Inputs
from pipeline.plan import SIDE_COLUMNS
from pipeline.planned import Plan
from pipeline.report.sounds import PLAYED_SECONDS
from pipeline.sides import side_lengths
from workers.audio.decode_spec import DecodeSpec
from workers.guarded.limits import GuardLimits

ORIGINAL = "original"
"""What a sound is called that was there before anything was made of it."""

Found = NDArray[np.float32] | str
"""Samples float32 [T], or why there are none."""

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

    def __init__(
        self, plan: Plan, inputs: Inputs, *, names: tuple[str, ...], sample_rate: int, limits: GuardLimits
    ) -> None:
        """Opens nothing yet.

        Args:
            plan: Of the store.
            inputs: That it was made from.
            names: What the recordings are called that each unit is cut from.
            sample_rate: Hz; the rate that the plan counts samples at.
            limits: What reading one unit may cost.
        """
        self._plan = plan
        self._names = names
        self.sample_rate = sample_rate
        self._decode = inputs.decoder(DecodeSpec(sample_rate=sample_rate, channels="mono"), limits)
        self._columns = list(dict.fromkeys([*_NEEDED, *inputs.columns]))

    def rows(self, ids: Sequence[str]) -> pa.Table:
        """What the plan says of some units, in plan order."""
        return self._plan.filter(self._plan.named(pa.array(ids, pa.string()))).table(self._columns)

    def read(self, ids: Sequence[str]) -> dict[str, dict[str, Found]]:
        """The recordings of each unit that the plan has, by name."""
        found: dict[str, dict[str, Found]] = {}
        rows = self.rows(ids)
        for place in range(rows.num_rows):
            unit = rows.slice(place, 1)
            found[unit["sample_id"][0].as_py()] = self._read_one(unit)
        return found

    def _read_one(self, unit: pa.Table) -> dict[str, Found]:
        # One sample more than is played, by which `clip_of_samples` sees that there is more.
        length = min(unit["_num_samples"][0].as_py(), round(PLAYED_SECONDS * self.sample_rate) + 1)
        for name, value in (
            ("_num_samples", length),
            ("_bucket_samples", length),
            ("_bucket_channels", len(self._names)),
        ):
            field = unit.schema.field(name)
            unit = unit.set_column(unit.schema.get_field_index(name), field, pa.array([value], field.type))
        if length < 1:
            return dict.fromkeys(self._names, "it was not compared")
        decoded = self._decode(unit)
        (failure,) = read_failures(decoded)
        if failure is not None:
            return dict.fromkeys(self._names, failure.reason)
        waveforms = np.frombuffer(decoded[WAVEFORM][0].as_py(), np.float32).reshape(len(self._names), -1)
        found: dict[str, Found] = dict(zip(self._names, waveforms, strict=True))
        if SIDE_COLUMNS[0] in unit.column_names:
            for name, samples in zip(self._names, side_lengths(unit)[0].tolist(), strict=True):
                found[name] = found[name][:samples] if samples > 0 else "there is none of this unit"
        return found
