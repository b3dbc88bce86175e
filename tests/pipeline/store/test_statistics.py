"""Exact sums: equal for any split, and equal to numpy where numpy is exact enough."""

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.store.columns import tensor_arrays
from pipeline.store.schema import store_schema
from pipeline.store.statistics import (
    channel_sums,
    decode_sums,
    encode_sums,
    merge_sums,
    statistics_of,
    table_sums,
    total_sums,
)
from workers.tensor_column import TensorColumn


def exact_sums(tensors: np.ndarray) -> tuple[list[int], list[int]]:
    """Reference: Python integers, value by value, round half to even."""
    columns = np.moveaxis(tensors.astype(np.float64), 1, 0).reshape(tensors.shape[1], -1)
    return (
        [sum(round(float(v) * 2**24) for v in c) for c in columns],
        [sum(round(float(v) * float(v) * 2**24) for v in c) for c in columns],
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 6e4])
def test_sums_are_exact(dtype: Any, scale: float) -> None:
    tensors = (np.random.default_rng(0).uniform(-1, 1, (7, 3, 50)) * scale).astype(dtype)
    sums = channel_sums(tensors)
    assert (list(sums.values), list(sums.squares)) == exact_sums(tensors)
    assert sums.counts == (350,) * 3


def test_any_split_gives_equal_sums() -> None:
    tensors = np.random.default_rng(1).standard_normal((301, 2, 700)).astype(np.float16)
    whole = channel_sums(tensors, exponentials=True)
    for cuts in ([150], [1, 2, 299], list(range(0, 301, 7))[1:]):
        parts = [channel_sums(part, exponentials=True) for part in np.split(tensors, cuts)]
        assert total_sums(parts) == whole
        assert total_sums(reversed(parts)) == whole


def test_values_that_are_not_finite_are_left_out() -> None:
    tensors = np.array([[[1.0, np.nan, 2.0], [np.inf, -np.inf, 3.0]]], np.float16)
    sums = channel_sums(tensors, exponentials=True)
    assert sums.counts == (2, 1)
    assert sums.values == (3 << 24, 3 << 24)
    assert sums.squares == (5 << 24, 9 << 24)
    assert sums.exponentials[1] == round(math.exp(3) * 2**24)


def test_channel_without_values_has_no_mean() -> None:
    statistics = statistics_of({"mel": channel_sums(np.full((1, 1, 2), np.nan, np.float32))})
    assert statistics.columns["mel"].mean == (None,)
    assert statistics.columns["mel"].std == (None,)


def test_no_rows() -> None:
    assert channel_sums(np.zeros((0, 2, 5), np.float16)).counts == (0, 0)


def test_mean_and_std_equal_numpy() -> None:
    tensors = np.random.default_rng(2).normal(3.0, 0.1, (40, 4, 60)).astype(np.float16)
    column = statistics_of({"mel": channel_sums(tensors)}).columns["mel"]
    wide = tensors.astype(np.float64)
    np.testing.assert_allclose(column.mean, wide.mean(axis=(0, 2)), rtol=1e-12)
    np.testing.assert_allclose(column.std, wide.std(axis=(0, 2)), rtol=1e-6)  # squares are rounded to 2^-24
    assert column.count == 9600


def test_scale_factor_is_that_of_a_posterior_sample() -> None:
    generator = np.random.default_rng(3)
    mean = generator.normal(1.0, 2.0, (200, 2, 500)).astype(np.float16)
    logvar = generator.normal(-1.0, 0.3, mean.shape).astype(np.float16)
    sums = {"latent_mean": channel_sums(mean), "latent_logvar": channel_sums(logvar, exponentials=True)}
    wide = mean.astype(np.float64)
    drawn = wide + np.exp(0.5 * logvar.astype(np.float64)) * generator.standard_normal(mean.shape)
    assert statistics_of(sums).scale_factor == pytest.approx(1 / drawn.std(), rel=0.01)
    expected = 1 / math.sqrt(wide.var() + np.exp(logvar.astype(np.float64)).mean())
    assert statistics_of(sums).scale_factor == pytest.approx(expected, rel=1e-6)


def test_mels_and_constant_latents_suggest_no_factor() -> None:
    ones = channel_sums(np.ones((2, 2, 2), np.float32))
    assert statistics_of({"mel": ones}).scale_factor is None
    assert statistics_of({"latent_mean": ones}).scale_factor is None


def test_table_sums_survive_the_footer(moments: Any) -> None:
    table, schema = moments.table(range(10)), moments.schema()
    sums = table_sums(table, schema)
    assert decode_sums(encode_sums(sums)) == sums
    halves = [table_sums(table.slice(0, 3), schema), table_sums(table.slice(3), schema)]
    assert merge_sums(halves) == sums
    assert json.loads(statistics_of(sums).model_dump_json())["columns"]["latent_mean"]["count"] == 240


def test_tensors_of_varying_shape(moments: Any) -> None:
    table = moments.table(range(6), variable_length=True)
    schema = moments.schema(variable_length=True)
    values = [moments.value("latent_mean", row, variable_length=True) for row in range(6)]
    flat = np.concatenate(values, axis=1)[None]
    assert table_sums(table, schema)["latent_mean"] == channel_sums(flat)


def test_numbers_of_channels_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="over 2 channels and over 3"):
        total_sums([channel_sums(np.zeros((1, n, 1), np.float32)) for n in (2, 3)])


def test_integer_tensors_have_no_statistics() -> None:
    field = pa.field("codes", pa.binary(4), nullable=False, metadata={"dtype": "int32", "shape": "[1]"})
    table = pa.table({"codes": pa.array([b"abcd"], pa.binary(4))}, schema=pa.schema([field]))
    assert table_sums(table, table.schema) == {}


@pytest.mark.parametrize("varying", [False, True])
def test_the_channel_axis_is_the_one_that_the_column_names(varying: bool) -> None:
    column = TensorColumn(name="mel", shape=(2, 3, 4), dtype="float32", description="", channel_axis=-2)
    values = np.random.default_rng(0).standard_normal((5, 2, 3, 4)).astype(np.float32)
    schema = store_schema([column], pa.schema([]), variable_length=varying)
    table = pa.table(tensor_arrays(column, values, variable_length=varying))
    fields = pa.schema([field for field in schema if field.name in table.column_names])
    found = statistics_of(table_sums(table.cast(fields), fields)).columns["mel"]
    np.testing.assert_allclose(found.mean, values.mean(axis=(0, 1, 3)), atol=1e-6)
    np.testing.assert_allclose(found.std, values.std(axis=(0, 1, 3)), atol=1e-6)
