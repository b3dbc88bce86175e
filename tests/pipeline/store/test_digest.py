"""Digests see content and nothing but content."""

import datetime
import decimal
import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.store.digest import content_digest, row_digests


def digests(values: Any, dtype: pa.DataType | None = None) -> list[bytes]:
    array = values if isinstance(values, pa.Array) else pa.array(values, dtype)
    table = pa.table({"x": array})
    return row_digests(table, table.schema).to_pylist()


def test_digest_is_that_of_the_documented_bytes() -> None:
    # By hand, because a change here would make every existing store differ from its recomputation.
    table = pa.table({"x": [5, None], "s": ["ab", None]})
    header = b'[["s","string"],["x","int64"]]'
    start = len(header).to_bytes(8, "little") + header
    first = start + b"\x01" + (2).to_bytes(8, "little") + b"\x01" + (5).to_bytes(8, "little") + b"ab"
    second = start + b"\x00" + bytes(8) + b"\x00" + bytes(8)
    expected = [hashlib.blake2b(row, digest_size=16, person=b"latentmill row 1").digest() for row in (first, second)]
    assert row_digests(table, table.schema).to_pylist() == expected


@pytest.mark.parametrize(
    ("one", "other", "dtype"),
    [
        ("", None, pa.string()),
        (b"", None, pa.binary()),
        (0, None, pa.int64()),
        (False, None, pa.bool_()),
        ([], None, pa.list_(pa.int32())),
        ([], [None], pa.list_(pa.int32())),
        ([0], [None], pa.list_(pa.int32())),
        ([[1], []], [[], [1]], pa.list_(pa.list_(pa.int32()))),
        (["ab", "c"], ["a", "bc"], pa.list_(pa.string())),
        (0.0, -0.0, pa.float64()),
        (float("nan"), None, pa.float64()),
        ({"a": None}, None, pa.struct([("a", pa.int32())])),
        ([("k", 1)], [("k", None)], pa.map_(pa.string(), pa.int32())),
        (decimal.Decimal("1.20"), decimal.Decimal("1.21"), pa.decimal128(9, 2)),
    ],
)
def test_different_values_differ(one: Any, other: Any, dtype: pa.DataType) -> None:
    first, second, third = digests([one, other, one], dtype)
    assert first != second
    assert first == third


def test_nans_are_one_value() -> None:
    odd = np.array([0x7FF8000000000001], np.uint64).view(np.float64)[0]
    assert digests([float("nan")], pa.float64()) == digests(pa.array(np.array([odd])))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array(["a", None]), pa.array(["a", None], pa.large_string())),
        (pa.array(["a", None]), pa.array(["a", None], pa.string_view())),
        (pa.array(["a", None]), pa.array(["a", None]).dictionary_encode()),
        (pa.array([[1], None], pa.list_(pa.int8())), pa.array([[1], None], pa.large_list(pa.int8()))),
        (pa.array([[1], None], pa.list_(pa.int8())), pa.array([[1], None], pa.list_(pa.int8(), 1))),
        (pa.array([1, None], pa.timestamp("s")), pa.array([10**9, None], pa.timestamp("ns"))),
        (pa.array([-1], pa.duration("ms")), pa.array([-(10**6)], pa.duration("ns"))),
        (pa.array([datetime.date(1969, 12, 31)], pa.date32()), pa.array([datetime.date(1969, 12, 31)], pa.date64())),
    ],
)
def test_equal_values_in_other_array_types_are_equal(one: pa.Array, other: pa.Array) -> None:
    assert digests(one) == digests(other)


def test_values_of_neighbouring_columns_do_not_run_together() -> None:
    first = pa.table({"a": ["xy"], "b": ["z"]})
    second = pa.table({"a": ["x"], "b": ["yz"]})
    assert row_digests(first, first.schema) != row_digests(second, second.schema)


def test_slices_nulls_and_chunks_do_not_matter(moments: Any) -> None:
    table, schema = moments.table(range(17)), moments.schema()
    whole = row_digests(table, schema)
    assert len(set(whole.to_pylist())) == 17
    pieces = pa.concat_tables([table.slice(0, 5), table.slice(5, 1), table.slice(6)])
    assert row_digests(pieces, schema) == whole
    assert row_digests(table.slice(3, 9), schema) == whole.slice(3, 9)
    shuffled = table.take([16, 0, 7]).select(list(reversed(table.schema.names)))
    assert row_digests(shuffled, schema).to_pylist() == [whole[row].as_py() for row in (16, 0, 7)]


def test_slice_of_lists_with_hidden_values_under_nulls() -> None:
    hidden = pa.ListArray.from_arrays(
        pa.array([0, 2, 3, 4]), pa.array([1, 2, 3, 4], pa.int8()), mask=pa.array([True, False, False])
    )
    assert digests(hidden) == digests([None, [3], [4]], pa.list_(pa.int8()))
    assert digests(hidden.slice(1)) == digests([[3], [4]], pa.list_(pa.int8()))


def test_shape_of_a_tensor_is_content(moments: Any) -> None:
    table = moments.table(range(1))
    assert row_digests(table, moments.schema((4, 6))) != row_digests(table, moments.schema((6, 4)))


def test_how_many_rows_were_computed_at_once_is_not_content(moments: Any) -> None:
    table, schema = moments.table(range(5)), moments.schema()
    position = table.schema.get_field_index("microbatch")
    reduced = table.set_column(position, table.schema.field(position), pa.array([2, 4, 8, 2, 2], pa.int32()))
    assert row_digests(reduced, schema) == row_digests(table, schema)
    without = pa.schema([field for field in schema if field.name != "microbatch"])
    assert row_digests(table.drop_columns(["microbatch"]), without) == row_digests(table, schema)


def test_type_without_canonical_bytes_is_named() -> None:
    table = pa.table({"x": pa.array([None], pa.month_day_nano_interval())})
    with pytest.raises(TypeError, match="month_day_nano_interval cannot be stored"):
        row_digests(table, table.schema)


def test_content_digest_is_independent_of_order_and_chunks(moments: Any) -> None:
    table = moments.table(range(30))
    rows = row_digests(table, moments.schema())
    ids = table.column("sample_id")
    whole = content_digest(ids, rows)
    order = np.random.default_rng(0).permutation(30)
    chunked = pa.chunked_array([ids.take(order[:11]).combine_chunks(), ids.take(order[11:]).combine_chunks()])
    assert content_digest(chunked, rows.take(pa.array(order))) == whole
    assert content_digest(ids[1:], rows[1:]) != whole
    assert len(whole) == 64


@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
def test_content_digest_is_what_it_always_was(rows_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.store.digest._CHUNK", rows_at_once)
    ids = [f"é {number:03d}#{number % 3}" for number in range(100)]
    digests = pa.array([hashlib.blake2b(name.encode(), digest_size=16).digest() for name in ids], pa.binary(16))
    expected = "9406cd079174fbb1067c2e288e99032c0219f51e6dec0aaf2c29ad13999a91b0"
    assert content_digest(pa.array(ids), digests) == expected


def test_content_digest_of_nothing() -> None:
    assert len(content_digest(pa.array([], pa.string()), pa.array([], pa.binary(16)))) == 64
    with pytest.raises(ValueError, match="1 ids, 0 digests"):
        content_digest(pa.array(["a"]), pa.array([], pa.binary(16)))
