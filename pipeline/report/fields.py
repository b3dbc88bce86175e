"""Which column of a store is what to a report."""

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa

from pipeline.store.schema import BASE_FIELDS, DIGEST_FIELD, SHAPE_SUFFIX, audio_rates, tensor_columns
from workers.tensor_column import TensorColumn

STATUS_SUFFIX = "_status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A column with a float64 for each unit, null where it is undefined."""

    name: str
    unit: str
    """Physical unit; empty where there is none."""
    description: str
    status: str | None
    """The column that says why there is no value, where the store has one."""
    group: str
    """What is measured: columns of one group, such as the SNR of every method, share an axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The columns of a store, sorted by what they hold; those that a report cannot show are in none."""

    metadata: tuple[str, ...]
    """Carried over from the source."""
    numbers: tuple[Number, ...]
    """Made by the job."""
    sounds: dict[str, tuple[int, int]]
    """Sample rate in Hz and number of channels by name."""
    tensors: dict[str, TensorColumn]

    def number(self, name: str) -> Number | None:
        """A number column by name."""
        return next((number for number in self.numbers if number.name == name), None)

    @property
    def statuses(self) -> tuple[str, ...]:
        """The columns that say why a number is missing."""
        return tuple(number.status for number in self.numbers if number.status)


def sort_fields(schema: pa.Schema, carried: Collection[str] = ()) -> Fields:
    """Sorts the columns of a store.

    A float64 of the source looks like one of the job, but for the description that every column of a job has; and where
    the source was a store itself, it has that too. So the plan, which holds what is carried, has the last word.

    Args:
        schema: Of the store's parts.
        carried: Columns of the plan; may be empty where there is no plan.
    """
    sounds, tensors = audio_rates(schema), tensor_columns(schema)
    own = {field.name for field in (*BASE_FIELDS, DIGEST_FIELD)} | {name + SHAPE_SUFFIX for name in tensors}
    others = [field for field in schema if field.name not in own and field.name not in tensors]
    made = [field for field in others if _is_number(field) and field.name not in carried]
    names = {field.name for field in others}
    numbers = tuple(_number(field, names, sounds) for field in made)
    taken = {number.name for number in numbers} | {number.status for number in numbers} | set(sounds)
    taken |= {name + STATUS_SUFFIX for name in tensors}
    metadata = tuple(field.name for field in others if field.name not in taken and _is_plain(field.type))
    return Fields(metadata=metadata, numbers=numbers, sounds=sounds, tensors=tensors)


def _number(field: pa.Field, names: set[str], sounds: Collection[str]) -> Number:
    status = field.name + STATUS_SUFFIX
    method = max((name for name in sounds if field.name.startswith(f"{name}_")), key=len, default="")
    return Number(
        name=field.name,
        unit=_fact(field, b"unit"),
        description=_fact(field, b"description"),
        status=status if status in names else None,
        group=field.name[len(method) + 1 :] if method else field.name,
    )


def _is_number(field: pa.Field) -> bool:
    return bool(pa.types.is_float64(field.type)) and bool(_fact(field, b"description"))


def _fact(field: pa.Field, key: bytes) -> str:
    return str((field.metadata or {}).get(key, b"").decode())


def _is_plain(dtype: pa.DataType) -> bool:
    """Whether its values are small enough to be read: bytes, and what may hold them, are not."""
    types = pa.types
    return not (types.is_binary(dtype) or types.is_large_binary(dtype) or types.is_fixed_size_binary(dtype)) and not (
        types.is_nested(dtype) and "binary" in str(dtype)
    )
