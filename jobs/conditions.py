"""`--only COLUMN=VALUE`: which units of a store are meant."""

import reprlib
from collections.abc import Sequence
from functools import reduce
from operator import and_, or_

import pyarrow as pa
import pyarrow.compute as pc

from jobs.spec_error import SpecError, choose
from pipeline.store.reader import LatentStore
from pipeline.store.schema import scalar_columns

SHOWN_VALUES = 5


def condition(schema: pa.Schema, only: Sequence[str]) -> pc.Expression | None:
    """What `LatentStore.select` takes: every column has one of the values given for it; none where none is given.

    Raises:
        SpecError: A condition is malformed, its column not there, or its value not of the column's type.
    """
    wanted: dict[str, list[pc.Expression]] = {}
    for text in only:
        column, value = _split(text, scalar_columns(schema))
        wanted.setdefault(column, []).append(pc.field(column) == _typed(value, schema.field(column), text))
    return reduce(and_, [reduce(or_, values) for values in wanted.values()]) if wanted else None


def describe_values(opened: LatentStore, only: Sequence[str]) -> str:
    """The most frequent values of the columns of some conditions, for a person whose conditions no unit meets."""
    columns = dict.fromkeys(_split(text, scalar_columns(opened.schema))[0] for text in only)
    return "; ".join(f"{column} is {_most_frequent(opened.select([column])[column])}" for column in columns)


def _split(text: str, columns: Sequence[str]) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        raise SpecError(f"--only {text}: expected COLUMN=VALUE, such as verdict=accepted")
    if column not in columns:
        raise SpecError(f"--only {text}: a column {choose(column, columns)}")
    return column, value


def _typed(value: str, field: pa.Field, text: str) -> pa.Scalar:
    dtype = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    try:
        return pa.scalar(value).cast(dtype)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SpecError(f"--only {text}: {field.name} is of type {dtype}, which {value!r} is not") from error


def _most_frequent(values: pa.ChunkedArray) -> str:
    counts = sorted(pc.value_counts(values).to_pylist(), key=lambda found: -found["counts"])
    shown = [f"{reprlib.repr(found['values'])} ({found['counts']:,})" for found in counts[:SHOWN_VALUES]]
    return ", ".join(shown) + (", …" if len(counts) > SHOWN_VALUES else "")
