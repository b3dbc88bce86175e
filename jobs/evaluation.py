"""What the pairs of an `evaluate` store say together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.seeds import unit_seeds
from pipeline.store.reader import LatentStore
from pipeline.store.schema import SAMPLE_ID
from workers.metrics.metric_names import PAIR_STATUSES
from workers.metrics.statistics import CONFIDENCE, Statistics, statistics

ALL = "all"
MISSING = "(none)"
MAX_GROUPS = 40
"""Groups that are shown; the rest is in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """One metric over some pairs."""

    metric: str
    unit: str
    group: str
    """`all`, or a value of the column that the summary is grouped by."""
    num_units: int
    """Pairs, and those in quarantine where it is all of them: what coverage is counted against."""
    statistics: Statistics
    statuses: dict[str, int]
    """How many pairs have each status."""
    difference: Statistics | None = None
    """To the other store, pair by pair; None without one."""


def evaluation(
    store: LatentStore,
    metrics: Sequence[str],
    *,
    seed: int,
    group_by: str | None = None,
    compare_with: str | None = None,
) -> tuple[MetricSummary, ...]:
    """Summarises a store.

    Args:
        store: made by `kind: evaluate`.
        metrics: of it.
        seed: of the bootstrap.
        group_by: a column, to also summarise by its values.
        compare_with: another such store of the same references.
    """
    wanted = [SAMPLE_ID, *metrics, *(f"{metric}_status" for metric in metrics), *([group_by] if group_by else [])]
    rows = store.select(list(dict.fromkeys(wanted)))
    ids = rows[SAMPLE_ID].combine_chunks()
    keys = unit_seeds(seed, ids, "bootstrap")
    others = _values_of(compare_with, metrics, ids) if compare_with else {}
    groups = [(ALL, np.ones(len(ids), np.bool_), store.manifest.totals.num_quarantined)]
    if group_by:
        groups += _groups(rows[group_by])
    values = {metric: _floats(rows[metric]) for metric in metrics}
    differences = {metric: values[metric] - others[metric] for metric in metrics if metric in others}
    found: dict[str, list[MetricSummary]] = {metric: [] for metric in metrics}
    for group, members, num_failed in groups:
        own = statistics({metric: values[metric][members] for metric in metrics}, keys[members])
        to_other = statistics({metric: differences[metric][members] for metric in differences}, keys[members])
        for metric in metrics:
            statuses = Counter(rows[f"{metric}_status"].filter(pa.array(members)).to_pylist())
            found[metric].append(
                MetricSummary(
                    metric=metric,
                    unit=(store.schema.field(metric).metadata or {}).get(b"unit", b"").decode(),
                    group=group,
                    num_units=int(members.sum()) + num_failed,
                    statistics=own[metric],
                    statuses=dict(sorted(statuses.items())),
                    difference=to_other.get(metric),
                )
            )
    return tuple(summary for summaries in found.values() for summary in summaries)


def describe_evaluation(found: Sequence[MetricSummary]) -> tuple[str, ...]:
    """The summary as a table for people."""
    lines = [
        f"{'metric':<13} {'group':<16} {'scored':>15} {'mean':>10}   {f'{CONFIDENCE:.0%} interval':<22} {'median':>10}"
        f" {'5 %':>10} {'95 %':>10}"
    ]
    names = list(dict.fromkeys(summary.group for summary in found if summary.group != ALL))
    shown = [summary for summary in found if summary.group in (ALL, *names[:MAX_GROUPS])]
    lines += [_row(summary, summary.statistics) for summary in shown]
    if len(names) > MAX_GROUPS:
        lines.append(f"({len(names) - MAX_GROUPS:,} more groups are not shown; query the store for them)")
    whole = [summary for summary in found if summary.group == ALL]
    lines += _without("not compared", {k: n for k, n in whole[0].statuses.items() if k in PAIR_STATUSES})
    for summary in whole:
        own = {k: n for k, n in summary.statuses.items() if k not in PAIR_STATUSES}
        lines += _without(f"{summary.metric} without a value", own)
    differences = [summary for summary in shown if summary.difference is not None]
    if differences:
        lines.append("differences to the other store, over pairs that both have:")
        lines += [_row(summary, summary.difference) for summary in differences if summary.difference is not None]
    return tuple(lines)


def _without(what: str, statuses: dict[str, int]) -> list[str]:
    listed = ", ".join(f"{count:,} {status}" for status, count in statuses.items() if status != "ok")
    return [f"{what}: {listed}"] if listed else []


def _row(summary: MetricSummary, values: Statistics) -> str:
    interval = "" if values.interval is None else "[" + ", ".join(f"{end:.4g}" for end in values.interval) + "]"
    share = f"{values.num_values:,} of {summary.num_units:,}"
    numbers = [values.median, *((values.quantiles[0], values.quantiles[-1]) if values.quantiles else (None, None))]
    return (
        f"{summary.metric:<13} {summary.group[:16]:<16} {share:>15} {_shown(values.mean):>10}   {interval:<22}"
        + "".join(f" {_shown(number):>10}" for number in numbers)
    )


def _shown(number: float | None) -> str:
    return "undefined" if number is None else f"{number:.4g}"


def _groups(column: pa.ChunkedArray) -> list[tuple[str, NDArray[np.bool_], int]]:
    """Each value of a column, which rows have it, and no failures: what failed has no row that says its group."""
    texts = pc.fill_null(column.cast(pa.string()), MISSING)
    return [(name, np.asarray(pc.equal(texts, name)), 0) for name in sorted(pc.unique(texts).to_pylist())]


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Values, NaN where there is none."""
    values: NDArray[np.float64] = pc.fill_null(column, float("nan")).to_numpy()
    return values


def _values_of(path: str, metrics: Sequence[str], ids: pa.Array) -> dict[str, NDArray[np.float64]]:
    """The metrics of another store in the order of `ids`, NaN where it has no value."""
    other = LatentStore(path)
    rows = other.select([SAMPLE_ID, *(metric for metric in metrics if metric in other.columns)])
    at = pc.index_in(ids.cast(pa.string()), value_set=rows[SAMPLE_ID].combine_chunks().cast(pa.string()))
    return {name: _floats(rows[name].take(at)) for name in rows.column_names if name != SAMPLE_ID}
