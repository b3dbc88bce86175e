"""Rows leave their parts, and no other row does, wherever it is broken off."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.store import location
from pipeline.store.duplicates import drop_duplicates
from pipeline.store.index import committed_ids
from pipeline.store.reader import LatentStore
from pipeline.store.removal import remove_units
from pipeline.store.writer import PartWriter, part_name

SHAPE = (1, 1)


class Killed(BaseException):
    """Stands for the end of the process."""


def ids(store: Path) -> list[str]:
    return sorted(committed_ids(str(store)).to_pylist())


def commit(store: Path, moments: Any, parts: list[list[str]], numbers: dict[str, int]) -> None:
    writer = PartWriter(str(store), moments.schema(SHAPE), durable=False)
    for names in parts:
        rows = [moments.table(range(numbers[n], numbers[n] + 1), shape=SHAPE, id_of=lambda _, n=n: n) for n in names]
        writer.commit(pa.concat_tables(rows))


def test_rest_of_a_part_takes_the_name_of_another_that_goes(tmp_path: Path, moments: Any) -> None:
    # The part {x, y} loses x to an earlier part and becomes {y}: the name of the part whose only row then goes.
    def name(*units: str) -> str:
        return part_name(pa.chunked_array([list(units)]))

    numbers = {f"u{number}": number for number in range(30)}
    first, second = next((x, y) for x in numbers for y in numbers if x != y and name(x) < name(x, y) < name(y))
    commit(tmp_path, moments, [[first], [first, second], [second]], numbers)
    assert drop_duplicates(str(tmp_path)) == 2
    assert ids(tmp_path) == sorted([first, second])
    assert list(location.list_files(str(tmp_path / "data"))) == [name(first), name(second)]


@pytest.mark.parametrize("seed", range(12))
def test_overlapping_parts_keep_each_unit_once(
    tmp_path: Path, moments: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random = np.random.default_rng(seed)
    names = [f"{seed}-{number}" for number in range(5)]
    numbers = {name: number for number, name in enumerate(names)}
    parts = [random.permutation(names)[: random.integers(1, 4)].tolist() for _ in range(8)]
    there = sorted({name for part in parts for name in part})
    commit(tmp_path, moments, parts, numbers)

    steps = iter(range(int(random.integers(0, 8))))

    def before(function: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            if next(steps, None) is None:
                raise Killed
            return function(*arguments, **options)

        return step

    with monkeypatch.context() as patch, suppress(Killed):
        for name in ("atomic_write", "remove"):
            patch.setattr(location, name, before(getattr(location, name)))
        drop_duplicates(str(tmp_path))
    assert sorted(set(ids(tmp_path))) == there
    drop_duplicates(str(tmp_path))
    assert ids(tmp_path) == there
    for row in LatentStore(tmp_path):
        expected = moments.value("latent_mean", numbers[row["sample_id"]], SHAPE)
        np.testing.assert_array_equal(row["latent_mean"], expected)


@pytest.mark.parametrize("seed", range(6))
def test_units_leave_every_part(tmp_path: Path, moments: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    names = [f"{seed}-{number}" for number in range(5)]
    numbers = {name: number for number, name in enumerate(names)}
    parts = [random.permutation(names)[: random.integers(1, 4)].tolist() for _ in range(8)]
    commit(tmp_path, moments, parts, numbers)
    there = {name for part in parts for name in part}
    remove_units(str(tmp_path), [*names[:2], "unknown"])
    assert set(ids(tmp_path)) == there - set(names[:2])
    drop_duplicates(str(tmp_path))
    assert ids(tmp_path) == sorted(there - set(names[:2]))
