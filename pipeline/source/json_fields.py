"""JSON objects that nobody declared a schema for → columns.

Each field becomes a column of the narrowest type that holds all its values: whole numbers and fractions are float64,
objects are structs with the fields of all of them. What has no common type (a text here, a list there) is kept as JSON
text, and so is an object without any field, which Parquet cannot store.
"""

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

JSON_TEXT = pa.large_string()
"""Stands for: no common type. No field of JSON gives it by itself."""

_EXACT_INTEGER = pa.int32()
"""Stands for: an integer that a float64 holds exactly."""


def type_of(value: Any) -> pa.DataType:
    """The Arrow type of a JSON value, before `stored_type`."""
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        if abs(value) <= 1 << 53:
            return _EXACT_INTEGER
        return pa.int64() if -(1 << 63) <= value < 1 << 63 else JSON_TEXT
    if isinstance(value, float):
        return pa.float64()
    if isinstance(value, str):
        return pa.string()
    if isinstance(value, list):
        item = pa.null()
        for element in value:
            item = common_type(item, type_of(element))
        return JSON_TEXT if item == JSON_TEXT else pa.list_(item)
    fields = {name: type_of(element) for name, element in sorted(value.items())}
    return JSON_TEXT if JSON_TEXT in fields.values() else pa.struct(list(fields.items()))


def common_type(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """The type that holds values of both; JSON_TEXT if there is none."""
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if {first, second} == {_EXACT_INTEGER, pa.int64()}:
        return pa.int64()
    if {first, second} == {_EXACT_INTEGER, pa.float64()}:
        return pa.float64()
    if pa.types.is_list(first) and pa.types.is_list(second):
        item = common_type(first.value_type, second.value_type)
        return JSON_TEXT if item == JSON_TEXT else pa.list_(item)
    if pa.types.is_struct(first) and pa.types.is_struct(second):
        fields = {field.name: field.type for field in first}
        for field in second:
            fields[field.name] = common_type(fields.get(field.name, pa.null()), field.type)
        return JSON_TEXT if JSON_TEXT in fields.values() else pa.struct(sorted(fields.items()))
    return JSON_TEXT


def stored_type(found: pa.DataType) -> pa.DataType:
    """The type of the column for values of a found type; JSON_TEXT if they are stored as text."""
    if found == _EXACT_INTEGER:
        return pa.int64()
    if pa.types.is_list(found):
        item = stored_type(found.value_type)
        return JSON_TEXT if item == JSON_TEXT else pa.list_(item)
    if pa.types.is_struct(found):
        fields = [(field.name, stored_type(field.type)) for field in found]
        return JSON_TEXT if not fields or JSON_TEXT in dict(fields).values() else pa.struct(fields)
    return found


class FieldTypes:
    """The types of fields, as found in one object after another."""

    def __init__(self) -> None:
        """Begin without fields."""
        self._found: dict[str, pa.DataType] = {}

    def add(self, row: dict[str, Any]) -> None:
        """Widen the types so that they hold the values of an object."""
        for name, value in row.items():
            self._widen(name, type_of(value))

    def merge(self, other: "FieldTypes") -> None:
        """Widen the types so that they hold all that `other` has seen."""
        for name, found in other._found.items():
            self._widen(name, found)

    def stored(self) -> dict[str, pa.DataType]:
        """The type of each field's column, sorted by name, so that it does not depend on which object came first."""
        return {name: stored_type(self._found[name]) for name in sorted(self._found)}

    def _widen(self, name: str, found: pa.DataType) -> None:
        before = self._found.get(name)
        if before is None or before != found:
            self._found[name] = found if before is None else common_type(before, found)


def as_array(values: Iterable[Any], dtype: pa.DataType) -> pa.Array:
    """Values of a field as a column of the type that `FieldTypes.stored` gives."""
    if dtype != JSON_TEXT:
        return pa.array(list(values), dtype)
    dumped = (None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True) for value in values)
    return pa.array(list(dumped), pa.string())
