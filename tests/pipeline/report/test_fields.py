"""Which column of a store is what to a report."""

import pyarrow as pa
import pytest

from pipeline.report.fields import sort_fields
from pipeline.store.schema import store_schema
from workers.audio_column import AudioColumn
from workers.number_column import NumberColumn
from workers.tensor_column import TensorColumn

SOUND = AudioColumn(name="vocoder", num_channels=1, num_samples=8, sample_rate=16_000, description="a sound")
METADATA = pa.schema(
    [
        pa.field("caption", pa.string()),
        pa.field("level", pa.float64()),
        pa.field("cover", pa.binary()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("lsd_status", pa.string()),
    ]
)


def schema() -> pa.Schema:
    outputs = [
        SOUND,
        NumberColumn(name="vocoder_snr_db", description="ratio", unit="dB"),
        NumberColumn(name="lsd", description="distance"),
        TensorColumn(name="mel", shape=(2, 3), dtype="float16", description="a mel"),
    ]
    return store_schema(outputs, METADATA, variable_length=False)


def test_columns_are_told_apart() -> None:
    fields = sort_fields(schema())
    assert fields.metadata == ("caption", "level", "tags")
    assert [(n.name, n.group, n.unit, n.status) for n in fields.numbers] == [
        ("vocoder_snr_db", "snr_db", "dB", None),
        ("lsd", "lsd", "", "lsd_status"),
    ]
    assert fields.sounds == {"vocoder": (16_000, 1)}
    assert list(fields.tensors) == ["mel"]
    assert fields.statuses == ("lsd_status",)


def test_what_the_plan_carries_is_metadata_though_it_is_described() -> None:
    carried = [field.with_metadata({"description": "of an earlier job"}) for field in METADATA]
    described = store_schema([SOUND], pa.schema(carried), variable_length=False)
    assert [number.name for number in sort_fields(described).numbers] == ["level"]
    assert sort_fields(described, METADATA.names).numbers == ()


@pytest.mark.parametrize("name", ["lsd", "vocoder_snr_db"])
def test_numbers_are_found_by_name(name: str) -> None:
    number = sort_fields(schema()).number(name)
    assert number is not None
    assert number.name == name
    assert sort_fields(schema()).number("caption") is None


def test_an_empty_store_has_no_fields() -> None:
    fields = sort_fields(pa.schema([]))
    assert (fields.metadata, fields.numbers, fields.sounds, fields.tensors) == ((), (), {}, {})
