"""What a store's columns are, and what a writer refuses."""

import json

import pyarrow as pa
import pytest

from pipeline.store.schema import (
    AUDIO,
    conform,
    content_schema,
    has_varying_shape,
    scalar_columns,
    store_schema,
    tensor_columns,
)
from workers.tensor_column import TensorColumn

LATENT = TensorColumn(name="latent_mean", shape=(8, 64), dtype="float16", description="Mean.", unit="")
NO_METADATA = pa.schema([])


def test_columns_stand_in_the_order_base_metadata_tensors_digest() -> None:
    schema = store_schema([LATENT], pa.schema([("caption", pa.string())]), variable_length=False)
    assert schema.names == [
        "sample_id", "source", "start_seconds", "duration_seconds", "seed", "microbatch", "caption", "latent_mean",
        "row_digest",
    ]  # fmt: skip
    field = schema.field("latent_mean")
    assert field.type == pa.binary(8 * 64 * 2)
    assert not field.nullable
    assert json.loads(field.metadata[b"shape"]) == [8, 64]
    assert field.metadata[b"dtype"] == b"float16"
    assert schema.field("start_seconds").metadata[b"unit"] == b"s"
    assert tensor_columns(schema) == {"latent_mean": LATENT}


def test_varying_shape_is_a_column_of_its_own() -> None:
    schema = store_schema([LATENT], NO_METADATA, variable_length=True)
    assert schema.field("latent_mean").type == pa.binary()
    assert schema.field("latent_mean_shape").type.value_type == pa.int32()
    assert has_varying_shape(schema, "latent_mean")
    other_bucket = TensorColumn(name="latent_mean", shape=(8, 32), dtype="float16", description="Mean.")
    assert store_schema([other_bucket], NO_METADATA, variable_length=True).equals(schema, check_metadata=True)


def test_scalar_columns_are_texts_numbers_and_times() -> None:
    types = {
        "caption": pa.string(),
        "tags": pa.list_(pa.string()),
        "made": pa.timestamp("us"),
        "label": pa.dictionary(pa.int32(), pa.string()),
        "raw": pa.large_binary(),
        "coded": pa.dictionary(pa.int32(), pa.binary()),
        "sound": AUDIO,
    }
    metadata = pa.schema(list(types.items()))
    schema = store_schema([LATENT], metadata, variable_length=True)
    base = ("sample_id", "source", "start_seconds", "duration_seconds", "seed", "microbatch")
    assert scalar_columns(schema) == (*base, "caption", "made", "label")


@pytest.mark.parametrize("name", ["seed", "sample_id", "row_digest", "latent_mean"])
def test_metadata_column_with_a_taken_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"column '{name}' would be in the store twice.*Rename or leave out"):
        store_schema([LATENT], pa.schema([(name, pa.string())]), variable_length=False)


def test_tensor_without_a_numpy_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="'latent_mean' has dtype 'bfloat16'"):
        store_schema(
            [TensorColumn(name="latent_mean", shape=(2,), dtype="bfloat16", description="")],
            NO_METADATA,
            variable_length=False,
        )


def test_tensor_with_an_empty_axis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has shape \[8, 0\]"):
        store_schema(
            [TensorColumn(name="x", shape=(8, 0), dtype="float32", description="")], NO_METADATA, variable_length=False
        )


WANTED = pa.schema([pa.field("a", pa.string(), nullable=False), pa.field("b", pa.binary(4))])


def test_conform_reorders() -> None:
    table = pa.table({"b": pa.array([b"1234"], pa.binary(4)), "a": ["x"]})
    assert conform(table, WANTED).schema.equals(WANTED, check_metadata=True)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            pa.table({"a": ["x"]}),
            r"misses 'b' \(fixed_size_binary\[4\]\).*Given: a string.*Expected: a string, b fixed",
        ),
        (
            pa.table({"a": ["x"], "b": [b"1"], "c": [1]}),
            r"has 'c' \(int64\) in excess.*has 'b' as binary and not fixed",
        ),
        (pa.table({"a": pa.array([None], pa.string()), "b": pa.array([b"1234"], pa.binary(4))}), r"'a' has 1 null"),
    ],
)
def test_conform_names_what_differs(table: pa.Table, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conform(table, WANTED)


def test_content_schema_leaves_out_the_digest() -> None:
    assert "row_digest" not in content_schema(store_schema([LATENT], NO_METADATA, variable_length=False)).names
