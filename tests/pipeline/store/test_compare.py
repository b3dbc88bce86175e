"""Two stores laid side by side, without holding their values."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.store import compare
from pipeline.store.compare import Difference, TensorDifference, gather_digests, match_ids
from pipeline.store.index import locate_units
from pipeline.store.reader import LatentStore


def ids(names: list[str]) -> pa.LargeStringArray:
    return pa.array(sorted(names), pa.large_string())


@pytest.mark.parametrize("window", [1, 3, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_ids_are_matched_like_sets(monkeypatch: pytest.MonkeyPatch, window: int, seed: int) -> None:
    monkeypatch.setattr(compare, "_WINDOW", window)
    rng = np.random.default_rng(seed)
    names = [f"unit {number}" for number in range(60)]
    first, second = ([name for name in names if rng.random() < share] for share in (0.3 * seed, 0.6))
    matched = match_ids(ids(first), ids(second))
    in_first, in_second = (ids(side).take(pa.array(at)) for side, at in zip((first, second), matched.both, strict=True))
    assert in_first.to_pylist() == in_second.to_pylist() == sorted({*first} & {*second})
    assert ids(first).take(pa.array(matched.only_first)).to_pylist() == sorted({*first} - {*second})
    assert ids(second).take(pa.array(matched.only_second)).to_pylist() == sorted({*second} - {*first})


def test_digests_are_those_of_the_rows(store: Path) -> None:
    units = locate_units(str(store))
    found = gather_digests(str(store), units)
    opened = LatentStore(store)
    assert [row.tobytes() for row in found] == opened.read(slice(None), ["row_digest"])["row_digest"]


def test_how_far_tensors_are_apart() -> None:
    difference = TensorDifference()
    zero = np.zeros((2, 3), np.float16)
    difference.add(zero, zero.copy())
    assert (difference.num_rows, difference.rms) == (0, 0.0)
    other = zero.copy()
    other[0, 0], other[1, 2] = 3, -4
    difference.add(zero, other)
    assert (difference.num_rows, difference.max_abs) == (1, 4.0)
    assert difference.rms == pytest.approx(np.sqrt(25 / 6))
    difference.add(zero, np.zeros((2, 4), np.float16))
    assert (difference.num_rows, difference.num_reshaped, difference.max_abs) == (2, 1, 4.0)


@pytest.mark.parametrize(("value", "expected"), [(np.inf, np.inf), (np.nan, np.nan), (-0.0, 0.0)])
def test_values_that_are_not_numbers(value: float, expected: float) -> None:
    difference = TensorDifference()
    difference.add(np.zeros(2), np.array([0.0, value]))
    assert difference.num_rows == 1  # -0.0 equals 0.0 but is other bytes
    np.testing.assert_equal(difference.max_abs, expected)
    assert json.loads(json.dumps(difference.as_json(), allow_nan=False))["num_rows"] == 1
    same = TensorDifference()
    same.add(np.array([value, 1.0]), np.array([value, 1.0]))
    assert same.num_rows == 0


def test_other_columns_are_counted() -> None:
    first: dict[str, Any] = {"a": 1, "b": None, "c": float("nan"), "only": 1}
    difference = Difference()
    difference.add(first, dict(first))
    assert difference.is_empty
    difference.add(first, {"a": 2, "b": "", "c": float("nan")})
    assert difference.columns == {"a": 1, "b": 1}
    total = Difference()
    total.merge(difference)
    total.merge(difference)
    assert total.columns == {"a": 2, "b": 2}
    assert not total.is_empty
