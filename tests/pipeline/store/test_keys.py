"""What names units, and what does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.store import LatentStore


@pytest.mark.parametrize("key", [-1, np.int64(-1), np.int8(-1), np.uint16(49), np.array(49)])
def test_any_integer_is_a_position(store: Path, key: Any) -> None:
    opened = LatentStore(store)
    assert opened[key]["sample_id"] == "clip-00049"
    assert opened.read(key, ["sample_id"])["sample_id"] == ["clip-00049"]


def test_slice_is_a_batch(store: Path) -> None:
    opened = LatentStore(store)
    batch, read = opened[0:3], opened.read([0, 1, 2])
    assert batch["sample_id"] == read["sample_id"] == ["clip-00000", "clip-00001", "clip-00002"]
    np.testing.assert_array_equal(batch["latent_mean"], read["latent_mean"])
    assert opened[::-1]["sample_id"][0] == "clip-00049"
    assert opened[48:99]["latent_mean"].shape == (2, 4, 6)
    assert opened[50:]["sample_id"] == []


@pytest.mark.parametrize(
    "keys",
    [
        ("clip-00007", "clip-00003"),
        np.array(["clip-00007", "clip-00003"]),
        np.array(["clip-00007", "clip-00003"], object),
        pa.array(["clip-00007", "clip-00003"]),
        pa.chunked_array([["clip-00007"], ["clip-00003"]], pa.large_string()),
        [7, 3],
        [np.uint64(7), np.uint64(3)],
        np.array([-43, -47], np.int8),
        pa.array([7, 3]),
        range(7, 2, -4),
    ],
)
def test_several_keys(store: Path, keys: Any) -> None:
    assert LatentStore(store).positions(keys).tolist() == [7, 3]


@pytest.mark.parametrize("keys", [[], (), np.array([]), np.array([], np.int64), pa.array([]), slice(3, 3)])
def test_no_keys(store: Path, keys: Any) -> None:
    positions = LatentStore(store).positions(keys)
    assert (positions.dtype, positions.shape) == (np.int64, (0,))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (1.0, "takes a position .* or a slice of positions, not float 1.0; by_id takes an id, read takes several"),
        (np.float32(2), r"not float32 np.float32\(2.0\)"),
        ("clip-00001", "not str 'clip-00001'; by_id takes an id"),
        ([1, 2], r"not list \[1, 2\]; .* read takes several"),
        (None, "not NoneType None"),
    ],
)
def test_wrong_single_key(store: Path, key: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        LatentStore(store)[key]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (1.5, "named by positions .* or ids .*, not by float 1.5"),
        ([0, 2.0], r"not by list \[0, 2.0\]"),
        (np.zeros(50, np.bool_), "not by ndarray .*np.flatnonzero gives the positions in a mask"),
        (["clip-00001", 2], "not by both: int 2"),
        ([2, "clip-00001"], "not by list"),
        (b"clip-00001", "not by bytes b'clip-00001'"),
        (None, "not by NoneType None"),
        ({"clip-00001"}, "not by set"),
    ],
)
def test_wrong_keys(store: Path, keys: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        LatentStore(store).read(keys)


@pytest.mark.parametrize("key", [50, -51, 2**64 - 1])
def test_position_out_of_range(store: Path, key: int) -> None:
    with pytest.raises(IndexError, match=rf"position {key} is not in .*, which has 50 units"):
        LatentStore(store)[key]


def test_unknown_id_names_those_like_it(store: Path) -> None:
    opened = LatentStore(store)
    with pytest.raises(KeyError, match="has no unit 'clip-00490'; it has 'clip-00049', 'clip-00"):
        opened.by_id("clip-00490")
    with pytest.raises(KeyError, match=r"has no unit 'zebra'\W*$"):
        opened.by_id("zebra")


def test_iteration_is_in_order_of_position(store: Path) -> None:
    assert [row["sample_id"] for row in LatentStore(store)] == [f"clip-{row:05d}" for row in range(50)]
