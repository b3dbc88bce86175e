"""Columns for JSON objects that nobody declared a schema for."""

import json
from typing import Any

import pyarrow as pa
import pytest

from pipeline.source.json_fields import JSON_TEXT, FieldTypes, as_array


def types_of(*rows: dict[str, Any]) -> dict[str, pa.DataType]:
    types = FieldTypes()
    for row in rows:
        types.add(row)
    return types.stored()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], pa.int64()),
        ([1, None], pa.int64()),
        ([None, None], pa.null()),
        ([1, 2.5], pa.float64()),
        ([True, False], pa.bool_()),
        (["a", None], pa.string()),
        ([[1], [], [2.5]], pa.list_(pa.float64())),
        ([[], []], pa.list_(pa.null())),
        ([[["a"]], [[]]], pa.list_(pa.list_(pa.string()))),
        ([{"b": 1}, {"a": "x"}], pa.struct([("a", pa.string()), ("b", pa.int64())])),
        (
            [{"a": {"c": None}}, {"a": {"b": [1]}}],
            pa.struct([("a", pa.struct([("b", pa.list_(pa.int64())), ("c", pa.null())]))]),
        ),
        ([2**60, 1], pa.int64()),
        ([2**60, 0.5], JSON_TEXT),
        ([2**64], JSON_TEXT),
        ([1, "1"], JSON_TEXT),
        ([1, True], JSON_TEXT),
        ([[1], {"a": 1}], JSON_TEXT),
        ([[1, "x"]], JSON_TEXT),
        ([{"a": 1}, {"a": "x"}], JSON_TEXT),
        ([{}], JSON_TEXT),
        ([[{}]], JSON_TEXT),
        ([{"a": {}}], JSON_TEXT),
    ],
)
def test_types_hold_all_values_in_any_order(values: list[Any], dtype: pa.DataType) -> None:
    for given in (values, values[::-1]):
        assert types_of(*({"x": value} for value in given)) == {"x": dtype}
        column = as_array(iter(given), dtype)
        if dtype == JSON_TEXT:
            assert [json.loads(text) for text in column.to_pylist()] == given
        else:
            assert column.to_pylist() == [_completed(value, dtype) for value in given]


def _completed(value: Any, dtype: pa.DataType) -> Any:
    """The value with nulls for the fields that it does not have."""
    if isinstance(value, dict):
        return {field.name: _completed(value.get(field.name), field.type) for field in dtype}
    return value


def test_merging_is_adding() -> None:
    rows = [{"a": 1}, {"b": [1]}, {"a": 0.5}, {"b": "x"}, {"c": {"d": 1}}, {"c": {"e": None}}]
    for cut in range(len(rows) + 1):
        first, second = FieldTypes(), FieldTypes()
        for row in rows[:cut]:
            first.add(row)
        for row in rows[cut:]:
            second.add(row)
        first.merge(second)
        assert first.stored() == types_of(*rows)


def test_text_is_the_same_whatever_the_order_of_fields() -> None:
    assert as_array([{"b": 1, "a": "ü"}, None], JSON_TEXT).to_pylist() == ['{"a": "ü", "b": 1}', None]
