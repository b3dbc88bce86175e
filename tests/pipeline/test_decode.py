"""Blocks of units → waveforms, with real faults among them: neighbours keep their bytes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from numpy.typing import NDArray

from pipeline.decode import WAVEFORM, decode_block
from pipeline.failure import FAILURE
from pipeline.plan import UNIT_COLUMNS
from workers.audio.decode_spec import DecodeSpec
from workers.guarded.guard import GuardError
from workers.guarded.limits import GuardLimits
from workers.media.decode import Span, decode_spans

RATE = 8000
SPEC = DecodeSpec(sample_rate=RATE)
LIMITS = GuardLimits(seconds=60, memory_gib=0.25)
HASTY = GuardLimits(seconds=2, memory_gib=0.25)
FAULTY = "faulty_media:decode_units"
SECONDS = 5


@pytest.fixture(autouse=True)
def _faulty_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "faults")


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recording of noise, all of them different."""

    def write(name: str, *, rate: int = 11_025, channels: int = 1, seconds: float = SECONDS) -> Path:
        samples = np.random.default_rng(len(name)).uniform(-0.5, 0.5, (round(rate * seconds), channels))
        soundfile.write(tmp_path / name, samples, rate)
        return tmp_path / name

    return write


def units_of(*units: tuple[Path, int] | tuple[Path, int, str], channels: int = 1, samples: int = RATE) -> pa.Table:
    """A block of units of a second: file, start in seconds, and maybe a member."""
    names = [f"{path.name}#{start}" for path, start, *_ in units]
    values: dict[str, Any] = {
        "sample_id": names,
        "source": names,
        "_path": [str(path) for path, *_ in units],
        "_member": [member[0] if member else None for _, _, *member in units],
        "_start_sample": [start * RATE for _, start, *_ in units],
        "_num_samples": [RATE] * len(units),
        "_bucket_samples": [samples] * len(units),
        "_bucket_channels": [channels] * len(units),
        "_probe_error": [None] * len(units),
    }
    for field in UNIT_COLUMNS:
        values.setdefault(field.name, [0] * len(units))
    return pa.table(values, schema=UNIT_COLUMNS)


def waveforms_of(block: pa.Table, channels: int = 1) -> NDArray[np.float32]:
    column = block[WAVEFORM].combine_chunks()
    return np.frombuffer(column.buffers()[1], np.float32).reshape(block.num_rows, channels, -1)


def unguarded(units: pa.Table, channels: int = 1) -> NDArray[np.float32]:
    """What the decoder itself gives, in this process."""
    waveforms = np.zeros((units.num_rows, channels, units["_bucket_samples"][0].as_py()), np.float32)
    for row, unit in enumerate(units.to_pylist()):
        [decoded] = decode_spans(unit["_path"], [Span(unit["_start_sample"], unit["_num_samples"])], SPEC)
        assert isinstance(decoded, np.ndarray)
        waveforms[row, :, : decoded.shape[1]] = decoded
    return waveforms


def failed(block: pa.Table) -> dict[int, tuple[str, str]]:
    return {
        row: (failure["stage"], failure["error_type"])
        for row, failure in enumerate(block[FAILURE].to_pylist())
        if failure is not None
    }


def test_waveforms_are_the_decoders_own(record: Callable[..., Path]) -> None:
    first, second, third = record("a.wav"), record("b.flac"), record("c.wav", rate=RATE, channels=2)
    units = units_of((first, 0), (first, 3), (second, 4), (third, 1), (first, 1), samples=RATE + 100)
    block = decode_block(units, SPEC)
    assert not failed(block)
    np.testing.assert_array_equal(waveforms_of(block), unguarded(units))
    assert block.drop_columns([WAVEFORM, FAILURE]) == units


def test_the_block_outlives_the_next_one(record: Callable[..., Path]) -> None:
    units = units_of((record("a.wav"), 0)), units_of((record("bb.wav"), 1))
    blocks = [decode_block(one, SPEC) for one in units]
    for block, one in zip(blocks, units, strict=True):
        np.testing.assert_array_equal(waveforms_of(block), unguarded(one))


FAULTS: dict[str, tuple[str, str, str]] = {
    "segfault": ("crash", "crash", "decoding it kills its process by SIGSEGV (Segmentation fault)"),
    "abort": ("crash", "crash", "decoding it kills its process by SIGABRT (Aborted)"),
    "exit": ("crash", "crash", "decoding it ends its process with exit code 3"),
    "loop": ("timeout", "timeout", "decoding it takes longer than 2 s"),
    "sleep": ("timeout", "timeout", "decoding it takes longer than 2 s"),
    "hoard": ("crash", "MemoryError", "decoding it needs more than 0.25 GiB of memory"),
    "raise": ("decode", "RuntimeError", "no good"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_its_unit_alone(record: Callable[..., Path], fault: str) -> None:
    guilty, healthy = record(f"{fault}-at-2.wav"), record("healthy.wav")
    units = units_of(
        *((healthy, 0), (healthy, 2)), *((guilty, start) for start in range(5)), (healthy, 3), (healthy, 2)
    )
    stage, error_type, reason = FAULTS[fault]
    block = decode_block(units, SPEC, limits=HASTY if stage == "timeout" else LIMITS, decoder=FAULTY)
    assert failed(block) == {4: (stage, error_type)}
    failure = block[FAILURE][4].as_py()
    assert failure["reason"] == reason
    assert failure["attempts"] == (1 if fault == "raise" else 2)
    assert not failure["isolate"]
    expected = unguarded(units)
    expected[4] = 0
    np.testing.assert_array_equal(waveforms_of(block), expected)


def test_many_faults_in_one_block(record: Callable[..., Path]) -> None:
    names: Sequence[str] = ("segfault.wav", "a.wav", "exit.wav", "loop.wav", "b.wav", "abort.wav")
    units = units_of(*((record(name), 1) for name in names))
    block = decode_block(units, SPEC, limits=HASTY, decoder=FAULTY)
    assert failed(block) == {
        0: ("crash", "crash"),
        2: ("crash", "crash"),
        3: ("timeout", "timeout"),
        5: ("crash", "crash"),
    }
    np.testing.assert_array_equal(waveforms_of(block)[[1, 4]], unguarded(units)[[1, 4]])


def test_who_is_killed_from_outside_may_be_innocent(record: Callable[..., Path]) -> None:
    block = decode_block(units_of((record("kill.wav"), 0)), SPEC, limits=LIMITS, decoder=FAULTY)
    failure = block[FAILURE][0].as_py()
    assert (failure["stage"], failure["isolate"]) == ("crash", True)
    assert "memory is short" in failure["reason"]


def test_a_store_that_does_not_answer_is_asked_again_later(record: Callable[..., Path]) -> None:
    block = decode_block(units_of((record("unavailable.wav"), 0)), SPEC, limits=LIMITS, decoder=FAULTY)
    failure = block[FAILURE][0].as_py()
    assert (failure["stage"], failure["error_type"], failure["isolate"]) == ("decode", "StorageUnavailableError", True)


def test_what_the_header_claimed_and_what_came(record: Callable[..., Path]) -> None:
    spec = DecodeSpec(sample_rate=RATE, channels="keep")
    stereo, mono, short = record("aa.wav", channels=2), record("a.wav"), record("s.wav", rate=RATE, seconds=1.95)
    units = units_of((stereo, 0), (mono, 0), (short, 1), (mono, 0), (mono, 9))
    errors = pa.array([None, None, None, "crash: reading its header kills it", None])
    units = units.set_column(units.schema.get_field_index("_probe_error"), "_probe_error", errors)
    reasons = [value and value["reason"] for value in decode_block(units, spec)[FAILURE].to_pylist()]
    assert reasons[0] == "2 channels, but its header said 1"
    assert reasons[1] is None
    assert reasons[2].startswith("truncated: expected 16000 samples at 8000 Hz, got 15600")
    assert reasons[4].startswith("truncated")
    failures = decode_block(units, spec)[FAILURE].to_pylist()
    assert (failures[3]["stage"], failures[3]["error_type"]) == ("probe", "crash")


def test_listed_durations_are_rounded(record: Callable[..., Path]) -> None:
    short, shorter = (record(f"{name}.wav", rate=RATE, seconds=s) for name, s in (("s", 1.95), ("t", 1.8)))
    block = decode_block(units_of((short, 1), (shorter, 1)), SPEC, listed_lengths=True)
    assert failed(block) == {1: ("decode", "MediaError")}
    assert not waveforms_of(block)[0, 0, 7600:].any()
    assert waveforms_of(block)[0, 0, :7600].any()


def test_members_of_one_file_are_recordings_of_their_own(record: Callable[..., Path], tmp_path: Path) -> None:
    first, second = record("a.wav"), record("bb.wav")
    shard = tmp_path / "shard.tar"
    shard.write_bytes(b"." * 512 + first.read_bytes() + second.read_bytes())
    size, other = first.stat().st_size, second.stat().st_size
    members = f"bytes:512+{size}", f"bytes:{512 + size}+{other}"
    units = units_of((shard, 1, members[0]), (shard, 2, members[0]), (shard, 1, members[1]))
    block = decode_block(units, SPEC)
    assert not failed(block)
    np.testing.assert_array_equal(waveforms_of(block), unguarded(units_of((first, 1), (first, 2), (second, 1))))


def test_a_decoder_that_is_not_there_is_no_fact_about_units(record: Callable[..., Path]) -> None:
    with pytest.raises(GuardError, match="no_such_module:decode cannot be imported: ModuleNotFoundError"):
        decode_block(units_of((record("a.wav"), 0)), SPEC, limits=LIMITS, decoder="no_such_module:decode")
