"""Numbers and sounds in a store: their fields, their values, and what of them is in the digest."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from pipeline.store.columns import column_arrays, column_bytes, with_encoded_audio
from pipeline.store.digest import row_digests
from pipeline.store.schema import AUDIO, MICROBATCH, ROW_DIGEST, audio_rates, store_schema, undigested
from workers.audio_column import AudioColumn
from workers.number_column import NumberColumn
from workers.tensor_column import TensorColumn

SOUND = AudioColumn(name="sound", num_channels=2, num_samples=8000, sample_rate=8000, description="a sound")
SNR = NumberColumn(name="snr_db", description="a ratio", unit="dB")
TIME = NumberColumn(name="seconds", description="a time", unit="s", is_content=False)
LATENT = TensorColumn(name="latent", shape=(2, 3), dtype="float16", description="a latent")
SCHEMA = store_schema([SOUND, SNR, TIME, LATENT], pa.schema([]), variable_length=False)


def test_fields_say_what_they_are() -> None:
    assert SCHEMA.field("sound").type == AUDIO
    assert audio_rates(SCHEMA) == {"sound": (8000, 2)}
    assert SCHEMA.field("snr_db").nullable
    assert SCHEMA.field("snr_db").metadata[b"unit"] == b"dB"
    assert undigested(SCHEMA) == {ROW_DIGEST, MICROBATCH, "seconds"}


def test_fields_survive_a_file() -> None:
    file = io.BytesIO()
    pq.write_table(SCHEMA.empty_table(), file)
    again = pq.read_schema(file)
    assert (audio_rates(again), undigested(again)) == (audio_rates(SCHEMA), undigested(SCHEMA))


def test_sounds_are_as_long_as_their_units_and_clip() -> None:
    waveforms = np.zeros((2, 2, 8000), np.float32)
    waveforms[0, 0], waveforms[0, 1] = 0.25, -2.0
    block = pa.table({"sample_id": ["a#0", "b#0"], "duration_seconds": [0.5, 1.0]})
    for name, array in column_arrays(SOUND, waveforms, variable_length=True).items():
        block = block.append_column(name, array)
    first, second = with_encoded_audio(block, SCHEMA)["sound"].to_pylist()
    samples, rate = soundfile.read(io.BytesIO(first["bytes"]))
    assert (samples.shape, rate, first["path"]) == ((4000, 2), 8000, "a#0.flac")
    assert np.array_equal(np.unique(samples, axis=0), [[0.25, -1.0]])
    assert soundfile.info(io.BytesIO(second["bytes"])).frames == 8000
    assert column_bytes(SOUND) == 2 * 2 * 8000


def test_an_undefined_number_is_null_and_an_infinite_one_is_not() -> None:
    values = np.array([1.5, np.nan, np.inf])
    (array,) = column_arrays(SNR, values, variable_length=False).values()
    assert array.to_pylist() == [1.5, None, np.inf]


def test_a_number_that_tells_of_the_run_is_in_no_digest() -> None:
    schema = pa.schema([SCHEMA.field("snr_db"), SCHEMA.field("seconds")])
    digests = [
        row_digests(pa.table({"snr_db": [snr], "seconds": [seconds]}, schema=schema), schema)[0].as_py()
        for snr, seconds in ((1.0, 1.0), (1.0, 2.0), (2.0, 1.0))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_tensors_that_end_with_their_unit() -> None:
    """0.1 + 0.2 s are 30 steps of 10 ms, not 31; what is behind is padding and not stored."""
    codes = TensorColumn(name="codes", shape=(2, 50), dtype="uint16", description="", steps_per_second=100)
    values = np.arange(300, dtype=np.uint16).reshape(3, 2, 50)
    arrays = column_arrays(codes, values, variable_length=True, seconds=np.array([0.1 + 0.2, 0.5, 0.001]))
    assert arrays["codes_shape"].to_pylist() == [[2, 30], [2, 50], [2, 1]]
    for row, shape in zip(range(3), arrays["codes_shape"].to_pylist(), strict=True):
        stored = np.frombuffer(arrays["codes"][row].as_py(), np.uint16).reshape(shape)
        assert np.array_equal(stored, values[row, :, : shape[1]])
