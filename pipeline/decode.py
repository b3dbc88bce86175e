"""Units → waveforms: the read stage, run as CPU tasks.

Decoding itself happens in a child process of the task (`workers.guarded`), since decoders are large C libraries that
read other people's files: one that crashes, hangs or takes all memory costs its unit alone.
"""

import atexit
import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.failure import BlockFailure, with_failures
from pipeline.sides import SIDES, places_of, side_lengths
from workers.audio.decode_spec import DecodeSpec
from workers.files import is_uri
from workers.guarded.guard import Guard
from workers.guarded.limits import GuardLimits
from workers.guarded.outcome import Died, Outcome, Placed, Raised
from workers.media.decode import Span

WAVEFORM = "_waveform"
"""Column of the decoded block: float32 [channels, samples] as fixed-size binary, zero-padded to the bucket's length."""

DECODER = "workers.media.decode:decode_units"

NOT_THE_FILES_FAULT = frozenset({"StorageUnavailableError"})
"""Errors of what holds the file; the unit is tried again in a later pass."""
MAY_PASS = NOT_THE_FILES_FAULT | {"UnavailableFileError"}
"""Errors that a later run may not meet; a run tries such units again where their file is there."""

_guards: dict[tuple[int, GuardLimits], tuple[dict[str, str], Guard]] = {}
"""The guard of this process, kept from block to block, and what its child was started with of the environment. A forked
process must not speak to its parent's child."""
_ACCESS = ("AWS_", "AZURE_", "GOOGLE_", "HF_", "FSSPEC_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy")
"""How the variables begin that say how stores are reached, and by whose leave."""


def decode_block(
    units: pa.Table,
    spec: DecodeSpec,
    *,
    limits: GuardLimits = GuardLimits(),  # noqa: B008 (frozen)
    listed_lengths: bool = False,
    decoder: str = DECODER,
) -> pa.Table:
    """Decodes one block of units, all of one shape bucket.

    Neighbouring units of one recording share one opening of it. A unit that cannot be decoded keeps its row, with
    silence for a waveform and its failure beside it.

    Args:
        units: rows of the plan.
        spec: rate, channels and resampling.
        limits: what one unit may cost.
        listed_lengths: the plan was cut by durations of a manifest, not by headers; see `decode_each`.
        decoder: `module:name` of a function like `decode_units`.

    Returns:
        `units` with the waveform and failure columns.

    Raises:
        workers.guarded.guard.GuardError: child processes cannot be started here.
    """
    shape = (units["_bucket_channels"][0].as_py(), units["_bucket_samples"][0].as_py())
    failures = [None if error is None else _probe_failure(error) for error in units["_probe_error"].to_pylist()]
    columns = (units[name].to_pylist() for name in ("_path", "_member", "_start_sample", "_num_samples"))
    readable = [row for row in zip(range(units.num_rows), *columns, strict=True) if failures[row[0]] is None]
    guard = _guard(limits)
    memory, waveforms = guard.rows((units.num_rows, *shape))
    outcomes = guard.each(
        decoder,
        [(path, member, Span(start, length)) for _, path, member, start, length in readable],
        rows=memory,
        slots=[row for row, *_ in readable],
        spec=spec,
        listed_length=listed_lengths,
    )
    for (row, path, *_), outcome in zip(readable, outcomes, strict=True):
        failures[row] = _judge(outcome, shape, remote=is_uri(path))
    waveforms[[failure is not None for failure in failures]] = 0
    return with_failures(units.append_column(WAVEFORM, _column(waveforms)), failures)


def decode_pairs(
    units: pa.Table,
    spec: DecodeSpec,
    *,
    limits: GuardLimits = GuardLimits(),  # noqa: B008 (frozen)
    decoder: str = DECODER,
) -> pa.Table:
    """Decodes one block of units that are pairs of recordings, all of one shape bucket.

    NaN and infinite samples come along, since metrics have a status for them. What `side_lengths` gives no samples is
    silence.

    Args:
        units: rows of a plan with `PAIR_COLUMNS`, perhaps `SIDE_COLUMNS`.
        spec: rate and resampling; channels are averaged.
        limits: what one recording may cost.
        decoder: `module:name` of a function like `decode_units`.

    Returns:
        `units` with the waveform, [reference and candidate, samples], and failure columns.

    Raises:
        workers.guarded.guard.GuardError: child processes cannot be started here.
    """
    count, samples = units.num_rows, units["_bucket_samples"][0].as_py()
    failures = [None if error is None else _probe_failure(error) for error in units["_probe_error"].to_pylist()]
    starts, lengths = units["_start_sample"].to_pylist(), side_lengths(units)
    lengths[[row for row in range(count) if failures[row] is not None]] = 0
    clips = []
    for side, name in enumerate(SIDES):
        paths, members = (column.to_pylist() for column in places_of(units, name))
        clips += [
            (row, side, paths[row], members[row], Span(starts[row], int(lengths[row, side])))
            for row in np.flatnonzero(lengths[:, side] > 0).tolist()
        ]
    guard = _guard(limits)
    memory, waveforms = guard.rows((2 * count, 1, samples))
    outcomes = guard.each(
        decoder,
        [clip[2:] for clip in clips],
        rows=memory,
        slots=[2 * row + side for row, side, *_ in clips],
        spec=spec,
        keep_nonfinite=True,
    )
    for (row, side, path, *_), outcome in zip(clips, outcomes, strict=True):
        failure = _judge(outcome, (1, samples), remote=is_uri(path))
        if failure is not None and failures[row] is None:
            failures[row] = replace(failure, reason=f"{failure.reason} ({SIDES[side]})")
    pairs = waveforms.reshape(count, 2, samples)
    pairs[lengths <= 0] = 0
    pairs[[row for row in range(count) if failures[row] is not None]] = 0
    return with_failures(units.append_column(WAVEFORM, _column(pairs)), failures)


def _guard(limits: GuardLimits) -> Guard:
    key = (os.getpid(), limits)
    environment = {name: value for name, value in os.environ.items() if name.startswith(_ACCESS)}
    started_with, guard = _guards.get(key, (None, None))
    if guard is None or started_with != environment:
        if guard is not None:
            atexit.unregister(guard.close)
            guard.close()
        guard = Guard(limits)
        _guards[key] = environment, guard
        atexit.register(guard.close)
    return guard


def _column(waveforms: NDArray[np.float32]) -> pa.Array:
    """The block's own memory as a column, float32 [n, channels, samples] → n × fixed-size binary."""
    count, channels, samples = waveforms.shape
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(4 * channels * samples), count, [None, pa.py_buffer(waveforms)]
    )


def _judge(outcome: Outcome, shape: tuple[int, int], *, remote: bool) -> BlockFailure | None:
    match outcome:
        case Placed(fits=True):
            return None
        case Placed(shape=other) if len(other) == 2 and other[0] != shape[0]:
            return _failure("decode", "MediaError", f"{other[0]} channels, but its header said {shape[0]}")
        case Raised(error_type, reason):
            return _failure("decode", error_type, reason, isolate=error_type in NOT_THE_FILES_FAULT)
        case Died(kind, error_type, reason):
            maybe_innocent = outcome.killed_from_outside or (remote and kind == "timeout")  # it may be the network
            return _failure(kind, error_type, f"decoding it {reason}", isolate=maybe_innocent, attempts=2)
    raise TypeError(f"the decoder gave {outcome}; expected float32 [{shape[0]}, at most {shape[1]}]")


def _probe_failure(error: str) -> BlockFailure:
    """The failure of a file whose header could not be read; `crash: …` and `timeout: …` are those of the guard."""
    kind, _, _ = error.partition(": ")
    return _failure("probe", kind if kind in ("crash", "timeout") else "MediaError", error)


def _failure(stage: str, error_type: str, reason: str, *, isolate: bool = False, attempts: int = 1) -> BlockFailure:
    return BlockFailure(
        stage=stage, error_type=error_type, reason=" ".join(reason.split()), isolate=isolate, attempts=attempts
    )
