"""Values of sets, held against the formulas in scipy and numpy, and what they do not depend on."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.linalg
from numpy.typing import NDArray

from jobs.set_evaluation import SetSummary, describe_sets, set_columns, set_evaluation, with_differences
from workers.metrics.metric_names import SET_METRICS

D = 6


def table_of(*, names: tuple[str, str] = ("reference_embedding", "candidate_embedding"), **sides: Any) -> pa.Table:
    """Rows with vectors [n, d] of each side; a row of NaN has the status `nonfinite`."""
    columns = {}
    for name, values in zip(names, (sides["reference"], sides["candidate"]), strict=True):
        stored = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(4 * values.shape[1]), len(values), [None, pa.py_buffer(np.ascontiguousarray(values, np.float32))]
        )
        statuses = np.where(np.isnan(values).any(axis=1), "nonfinite", "ok")
        columns |= {name: stored, f"{name}_status": pa.array(statuses.tolist())}
    return pa.table(columns)


def embeddings(seed: int, count: int, mean: float = 0.0, scale: float = 1.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(D, D))
    return (scale * (rng.normal(mean, 1.0, (count, D)) @ mixing)).astype(np.float32)


def keys_of(count: int) -> NDArray[np.uint64]:
    return np.random.default_rng(3).permutation(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B9))


def evaluated(rows: pa.Table, *metrics: str, few: bool = False, **more: Any) -> dict[str, SetSummary]:
    settings = {"keys": keys_of(rows.num_rows), "groups": [(None, np.arange(rows.num_rows))], **more}
    return {one.metric: one for one in set_evaluation(rows, metrics, seed=1, few=few, **settings)}


def frechet(first: NDArray[Any], second: NDArray[Any]) -> float:
    sets = [values.astype(np.float64) for values in (first, second)]
    covariances = [np.cov(values, rowvar=False) for values in sets]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    means = [values.mean(axis=0) for values in sets]
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root))


def maximum_mean_discrepancy(first: NDArray[Any], second: NDArray[Any]) -> float:
    def squares(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
        return ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(axis=2)

    apart = np.sqrt(squares(first, first)[np.triu_indices(len(first), 1)])
    width = 2 * np.median(apart) ** 2
    within = [np.exp(-squares(one, one) / width)[~np.eye(len(one), dtype=bool)].mean() for one in (first, second)]
    return 100 * float(sum(within) - 2 * np.exp(-squares(first, second) / width).mean())


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_values_are_those_of_the_formulas(scale: float) -> None:
    """Beyond the range of exact sums too, where a power of two is taken out first."""
    reference, candidate = embeddings(0, 60, scale=scale), embeddings(1, 60, mean=0.3, scale=scale)
    reference[7] = candidate[50] = np.nan
    found = evaluated(table_of(reference=reference, candidate=candidate), "kad", "fad")
    sets = reference[~np.isnan(reference[:, 0])], candidate[~np.isnan(candidate[:, 0])]
    # 1e-5: embeddings are rounded to 2⁻²⁰ of that power of two, at most 32 here
    assert found["fad"].value == pytest.approx(frechet(*sets), rel=1e-5)
    assert found["kad"].value == pytest.approx(maximum_mean_discrepancy(*sets), rel=1e-4)
    assert [*found] == ["kad", "fad"]
    assert found["fad"].num_vectors == {"reference": 59, "candidate": 59}
    assert found["fad"].statuses["candidate"] == {"nonfinite": 1, "ok": 59}
    assert found["fad"].dimension == D


def test_the_order_of_rows_changes_no_bit() -> None:
    rows = table_of(reference=embeddings(0, 300), candidate=embeddings(1, 300, mean=0.1))
    logits = table_of(
        names=("reference_class_log_probabilities", "candidate_class_log_probabilities"),
        reference=embeddings(2, 300),
        candidate=embeddings(3, 300),
    )
    rows = pa.table(
        {
            **dict(zip(rows.column_names, rows.columns, strict=True)),
            **dict(zip(logits.column_names, logits.columns, strict=True)),
        }
    )
    order = np.random.default_rng(5).permutation(300)
    there = evaluated(rows, *SET_METRICS)
    here = evaluated(rows.take(pa.array(order)), *SET_METRICS, keys=keys_of(300)[order])
    assert here == there
    assert {one.status for one in there.values()} == {"ok"}


def test_equal_sets_are_no_distance_apart() -> None:
    rows = table_of(reference=embeddings(0, 40), candidate=embeddings(0, 40))
    assert evaluated(rows, "fad")["fad"].value == pytest.approx(0.0, abs=1e-12)


def test_too_few_clips_have_no_value_unless_that_is_asked_for() -> None:
    rows = table_of(reference=embeddings(0, D), candidate=embeddings(1, D))
    groups = [(None, np.arange(D)), ("small", np.arange(D - 1)), ("single", np.arange(1))]
    found = set_evaluation(rows, ["fad", "kad"], groups, keys=keys_of(D), seed=0, few=False)
    assert {(one.metric, one.group): one.status for one in found} == {
        ("fad", None): "ok",
        ("fad", "small"): "too_few",
        ("fad", "single"): "too_few",
        ("kad", None): "ok",
        ("kad", "small"): "ok",
        ("kad", "single"): "too_few",
    }
    assert all((one.value is None) == (one.status != "ok") for one in found)
    assert evaluated(rows.slice(0, 3), "fad", few=True)["fad"].value is not None
    text = "\n".join(describe_sets(evaluated(rows.slice(0, 3), "fad").values(), (None,)))  # type: ignore[arg-type]
    assert "too few clips for a covariance of 6 dimensions" in text


def test_references_that_are_all_alike_have_no_spread() -> None:
    rows = table_of(reference=np.ones((9, D), np.float32), candidate=embeddings(1, 9))
    assert evaluated(rows, "kad")["kad"].status == "no_spread"


def test_differences_are_told_where_both_have_a_value() -> None:
    rows = table_of(reference=embeddings(0, 20), candidate=embeddings(1, 20))
    other = evaluated(table_of(reference=embeddings(0, 20), candidate=embeddings(2, 20)), "fad")
    ours = evaluated(rows, "fad", "kad")
    told = {one.metric: one.difference for one in with_differences(ours.values(), other.values())}
    assert ours["fad"].value is not None
    assert other["fad"].value is not None
    assert told == {"fad": ours["fad"].value - other["fad"].value, "kad": None}


def test_the_columns_that_sets_need() -> None:
    assert set_columns(["snr_db"]) == []
    assert set_columns(["fad", "kad"]) == [
        f"{side}_embedding{what}" for side in ("reference", "candidate") for what in ("", "_status")
    ]
