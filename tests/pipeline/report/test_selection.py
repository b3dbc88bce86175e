"""Best, worst and a sample: the same for the same content."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from pipeline.report.fields import sort_fields
from pipeline.report.selection import Ranking, default_ranking, is_lower_better, sample_ids, select_units
from pipeline.store import LatentStore

HIGHEST = Ranking(column="snr_db", lower_is_better=False)


def test_best_and_worst_are_at_the_ends(numbers_store: Callable[..., LatentStore]) -> None:
    store = numbers_store({"snr_db": [3.0, None, float("inf"), -4.0, 9.0, 0.0, float("-inf"), 1.0]})
    found = select_units(store, HIGHEST, count=2, seed=0)
    assert found.best == ("u002", "u004")
    assert found.worst == ("u006", "u003")
    assert len(found.sample) == 2
    assert not {*found.sample} & {*found.best, *found.worst}
    turned = select_units(store, Ranking(column="snr_db", lower_is_better=True), count=2, seed=0)
    assert (turned.best, turned.worst) == (("u006", "u003"), ("u002", "u004"))


def test_ties_are_in_order_of_ids_whatever_the_parts(numbers_store: Callable[..., LatentStore]) -> None:
    stores = [numbers_store({"snr_db": [1.0] * 20}, parts=parts, name=f"s{parts}") for parts in (1, 5)]
    found = [select_units(store, HIGHEST, count=3, seed=1) for store in stores]
    assert found[0] == found[1]
    assert found[0].best == ("u000", "u001", "u002")
    assert found[0].worst == ("u003", "u004", "u005")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
def test_small_stores_show_each_unit_once(numbers_store: Callable[..., LatentStore], count: int) -> None:
    store = numbers_store({"snr_db": [1.0, None, 2.0]})
    ids = select_units(store, HIGHEST, count=count, seed=0).ids
    assert len({*ids}) == len(ids) == min(3, 3 * count)


def test_a_column_without_values_leaves_the_sample(numbers_store: Callable[..., LatentStore]) -> None:
    found = select_units(numbers_store({"snr_db": [None] * 4}), HIGHEST, count=2, seed=0)
    assert (found.best, found.worst, len(found.sample)) == ((), (), 2)


def test_a_sample_is_seeded_and_hardly_changes_when_units_are_added() -> None:
    ids = pa.array([f"u{n:05d}" for n in range(2000)], pa.large_string())
    first, again = sample_ids(ids, 50, 0, "rows"), sample_ids(ids, 50, 0, "rows")
    assert first == again == sorted(first)
    assert first != sample_ids(ids, 50, 1, "rows")
    fewer = sample_ids(ids.slice(0, 1990), 50, 0, "rows")
    assert len({*first} & {*fewer}) >= 49
    everything = sample_ids(ids, 2000, 0, "rows")
    assert everything == ids.to_pylist()
    assert np.mean([int(name[1:]) for name in first]) == pytest.approx(1000, abs=300)


def test_what_ranks_units_by_itself(numbers_store: Callable[..., LatentStore]) -> None:
    fields = sort_fields(numbers_store({"a_seconds": [1.0], "a_correlation": [1.0], "b_snr_db": [1.0]}, parts=1).schema)
    assert default_ranking(fields) == "b_snr_db"
    levels = sort_fields(numbers_store({"a_peak": [1.0], "a_seconds": [1.0]}, parts=1).schema)
    assert default_ranking(levels) is None
    assert default_ranking(sort_fields(pa.schema([]))) is None
    assert is_lower_better("lsd")
    assert is_lower_better("vocoder_seconds")
    assert not is_lower_better("vocoder_snr_db")
