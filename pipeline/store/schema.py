"""The columns of a store, declared once.

```
sample_id  source  start_seconds  duration_seconds  seed  microbatch │ metadata of the source … │ tensors … │ row_digest
```

A tensor is one binary value per row: its elements little-endian in C order, with `dtype` (a numpy name) and `shape` (a
JSON list) in the Arrow field metadata. Where lengths vary, the shape is in a column `<tensor>_shape` instead. A sound
is FLAC in the struct `{bytes, path}` that Hugging Face `datasets` knows as Audio.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from workers.audio_column import AudioColumn
from workers.column import Column
from workers.label_column import LabelColumn
from workers.number_column import NumberColumn
from workers.tensor_column import TensorColumn

SAMPLE_ID = "sample_id"
SEED = "seed"
MICROBATCH = "microbatch"
DURATION_SECONDS = "duration_seconds"
ROW_DIGEST = "row_digest"
ROW_DIGEST_BYTES = 16
SHAPE_SUFFIX = "_shape"
AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
"""Type of a sound's column."""


def _field(name: str, dtype: pa.DataType, description: str, *, unit: str = "") -> pa.Field:
    return pa.field(
        name, dtype, nullable=False, metadata={"description": description} | ({"unit": unit} if unit else {})
    )


BASE_FIELDS: tuple[pa.Field, ...] = (
    _field(SAMPLE_ID, pa.string(), "Stable, unique name of the unit."),
    _field("source", pa.string(), "The file, member or prompt that the unit comes from."),
    _field("start_seconds", pa.float64(), "Where the unit starts in its source.", unit="s"),
    _field(DURATION_SECONDS, pa.float64(), "True length of the unit, without padding.", unit="s"),
    _field(SEED, pa.uint64(), "Seed of the unit's own random numbers."),
    _field(
        MICROBATCH, pa.int32(), "Rows computed at once; fewer than the job's where memory ran out. Not in the digest."
    ),
)
DIGEST_FIELD = _field(ROW_DIGEST, pa.binary(ROW_DIGEST_BYTES), "BLAKE2b-128 over the row's columns but `microbatch`.")


def store_schema(outputs: Sequence[Column], metadata: pa.Schema, *, variable_length: bool) -> pa.Schema:
    """The schema of a store's parts.

    Args:
        outputs: What the job makes of a unit, in order.
        metadata: Columns carried over from the source, of any Arrow type; may be empty.
        variable_length: Whether the shape of a tensor differs from row to row.

    Raises:
        ValueError: Two columns have one name, or a tensor's dtype or shape cannot be stored.
    """
    fields = [*BASE_FIELDS, *metadata]
    for output in outputs:
        fields += _fields_of(output, variable_length=variable_length)
    fields.append(DIGEST_FIELD)
    names = [field.name for field in fields]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            f"column {', '.join(map(repr, repeated))} would be in the store twice: the store's own columns are "
            f"{_listed([*BASE_FIELDS, DIGEST_FIELD])}, the job makes {', '.join(o.name for o in outputs) or 'none'}, "
            f"the source's metadata are {_listed(metadata)}. Rename or leave out the source's column"
        )
    return pa.schema(fields)


def tensor_columns(schema: pa.Schema) -> dict[str, TensorColumn]:
    """The tensors of a store's schema by name; the shape of one with varying lengths is `()`."""
    columns = {}
    for field in schema:
        facts = _metadata(field)
        if "dtype" in facts:
            shape = tuple(json.loads(facts["shape"])) if "shape" in facts else ()
            columns[field.name] = TensorColumn(
                name=field.name,
                shape=shape,
                dtype=facts["dtype"],
                description=facts.get("description", ""),
                channel_axis=int(facts.get("channel_axis", 0)),
                unit=facts.get("unit", ""),
            )
    return columns


def undigested(schema: pa.Schema) -> frozenset[str]:
    """Columns outside of a row's digest: the digest itself, and those that say how the row was computed."""
    return frozenset({ROW_DIGEST, MICROBATCH, *(f.name for f in schema if _metadata(f).get("digested") == "no")})


def audio_rates(schema: pa.Schema) -> dict[str, tuple[int, int]]:
    """The sounds of a store's schema: sample rate in Hz and number of channels by name."""
    sounds = ((field.name, _metadata(field)) for field in schema if field.type == AUDIO)
    return {name: (int(f["sample_rate"]), int(f["num_channels"])) for name, f in sounds if "sample_rate" in f}


def scalar_columns(schema: pa.Schema) -> tuple[str, ...]:
    """Columns with one plain value per row, such as a text, a number or a time: no tensors, sounds or lists."""
    return tuple(field.name for field in schema if _is_scalar(field.type))


def _is_scalar(dtype: pa.DataType) -> bool:
    if pa.types.is_dictionary(dtype):
        return _is_scalar(dtype.value_type)
    is_bytes = pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype) or pa.types.is_fixed_size_binary(dtype)
    return not (is_bytes or pa.types.is_nested(dtype))


def has_varying_shape(schema: pa.Schema, tensor: str) -> bool:
    """Whether the shape of `tensor` is stored row by row, in a column of its own."""
    return "shape" not in _metadata(schema.field(tensor))


def content_schema(schema: pa.Schema) -> pa.Schema:
    """`schema` without the digest column, which is what a job gives the writer."""
    return pa.schema([field for field in schema if field.name != ROW_DIGEST])


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with the column order and field metadata of `schema`.

    Raises:
        ValueError: Names or types of the columns differ from the schema's, a tensor does not have the bytes that its
            shape says, or a null stands where none may be.
    """
    given, wanted = {f.name: f.type for f in table.schema}, {f.name: f.type for f in schema}
    problems = [f"misses {name!r} ({wanted[name]})" for name in wanted if name not in given]
    problems += [f"has {name!r} ({given[name]}) in excess" for name in given if name not in wanted]
    problems += [
        f"has {name!r} as {given[name]} and not {dtype}"
        for name, dtype in wanted.items()
        if name in given and given[name] != dtype
    ]
    if len(given) < table.num_columns:
        problems.append("repeats a column name")
    if problems:
        raise ValueError(
            f"table does not match the store: it {'; it '.join(problems)}. "
            f"Given: {_listed(table.schema)}. Expected: {_listed(schema)}"
        )
    for field in schema:
        nulls = table.column(field.name).null_count
        if nulls and not field.nullable:
            raise ValueError(f"column {field.name!r} has {nulls} null(s) in {table.num_rows} rows; it may have none")
    return table.select(schema.names).cast(schema)


def _fields_of(output: Column, *, variable_length: bool) -> list[pa.Field]:
    match output:
        case AudioColumn():
            facts = {"sample_rate": str(output.sample_rate), "num_channels": str(output.num_channels)}
            return [pa.field(output.name, AUDIO, nullable=False, metadata={"description": output.description} | facts)]
        case NumberColumn():
            field = _field(output.name, pa.float64(), output.description, unit=output.unit).with_nullable(True)
            return [field if output.is_content else field.with_metadata(field.metadata | {b"digested": b"no"})]
        case LabelColumn():
            return [_field(output.name, pa.string(), output.description)]
        case TensorColumn():
            return _variable_tensor_fields(output) if variable_length else [_fixed_tensor_field(output)]


def _fixed_tensor_field(output: TensorColumn) -> pa.Field:
    itemsize = _stored_dtype(output).itemsize
    if not output.shape or min(output.shape) < 1:
        raise ValueError(f"tensor {output.name!r} has shape {list(output.shape)}; every axis needs an element")
    num_bytes = itemsize * int(np.prod(output.shape, dtype=np.int64))
    shape = {"shape": json.dumps(list(output.shape))}
    return pa.field(output.name, pa.binary(num_bytes), nullable=False, metadata=_tensor_facts(output) | shape)


def _variable_tensor_fields(output: TensorColumn) -> list[pa.Field]:
    _stored_dtype(output)
    axis = pa.field("item", pa.int32(), nullable=False)
    return [
        pa.field(output.name, pa.binary(), nullable=False, metadata=_tensor_facts(output)),
        _field(output.name + SHAPE_SUFFIX, pa.list_(axis), f"Shape of {output.name} in this row."),
    ]


def _stored_dtype(output: TensorColumn) -> np.dtype:
    try:
        dtype = np.dtype(output.dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "fiub" or dtype.name != output.dtype:
        raise ValueError(f"tensor {output.name!r} has dtype {output.dtype!r}; use a float, int or bool of numpy")
    return dtype


def _tensor_facts(output: TensorColumn) -> dict[str, str]:
    facts = {"dtype": output.dtype, "description": output.description}
    if output.channel_axis:
        facts["channel_axis"] = str(output.channel_axis)
    return facts | {"unit": output.unit} if output.unit else facts


def _metadata(field: pa.Field) -> Mapping[str, str]:
    return {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}


def _listed(fields: Sequence[pa.Field] | pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in fields) or "none"
