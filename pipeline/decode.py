"""Units → waveforms: the read stage, run as CPU tasks."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.failure import BlockFailure, with_failures
from workers.audio.decode_spec import DecodeSpec
from workers.media.decode import Span, decode_spans
from workers.media.errors import MediaError

WAVEFORM = "_waveform"
"""Column of the decoded block: float32 [channels, samples] as fixed-size binary, zero-padded to the bucket's length."""


def decode_block(units: pa.Table, spec: DecodeSpec) -> pa.Table:
    """Decodes one block of units, all of one shape bucket.

    Neighbouring units of one file share one opening of it. A unit that cannot be decoded keeps its row, with silence
    for a waveform and its failure beside it.

    Args:
        units: rows of the plan.
        spec: rate, channels and resampling.

    Returns:
        `units` with the waveform and failure columns.
    """
    shape = (units["_bucket_channels"][0].as_py(), units["_bucket_samples"][0].as_py())
    waveforms = np.zeros((units.num_rows, *shape), np.float32)
    failures = [None if error is None else _failure("probe", error) for error in units["_probe_error"].to_pylist()]
    rows = zip(
        range(units.num_rows),
        units["_path"].to_pylist(),
        units["_start_sample"].to_pylist(),
        units["_num_samples"].to_pylist(),
        strict=True,
    )
    readable = (row for row in rows if failures[row[0]] is None)
    for path, group in groupby(readable, key=lambda row: row[1]):
        members = list(group)
        spans = [Span(start, length) for _, _, start, length in members]
        for (row, *_), decoded in zip(members, _decode(path, spans, spec), strict=True):
            if isinstance(decoded, Exception):
                failures[row] = _failure("decode", str(decoded), type(decoded))
            elif decoded.shape[0] != shape[0]:
                failures[row] = _failure("decode", f"{decoded.shape[0]} channels, but its header said {shape[0]}")
            else:
                waveforms[row, :, : decoded.shape[1]] = decoded
    column = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(4 * shape[0] * shape[1]), units.num_rows, [None, pa.py_buffer(waveforms)]
    )
    return with_failures(units.append_column(WAVEFORM, column), failures)


def _decode(path: str, spans: list[Span], spec: DecodeSpec) -> Sequence[NDArray[np.float32] | Exception]:
    """One result per span; an error that nobody foresaw costs the spans of this one file."""
    try:
        return decode_spans(path, spans, spec)
    except Exception as error:  # noqa: BLE001 (whatever a decoder raises is a fact about this file)
        return [error] * len(spans)


def _failure(stage: str, reason: str, error_type: type[Exception] = MediaError) -> BlockFailure:
    return BlockFailure(stage=stage, error_type=error_type.__name__, reason=" ".join(reason.split()))
