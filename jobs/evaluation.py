"""What the pairs of an `evaluate` store say together."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.set_evaluation import SetSummary, describe_sets, set_columns, set_evaluation, with_differences
from pipeline.saved_plan import find_plan
from pipeline.seeds import unit_seeds
from pipeline.store.reader import LatentStore
from pipeline.store.schema import SAMPLE_ID
from workers.metrics.metric_names import PAIR_METRICS, PAIR_STATUSES, SET_METRICS
from workers.metrics.statistics import CONFIDENCE, QUANTILES, Statistics, statistics

MISSING = "(none)"
MAX_GROUPS = 40
"""Groups that are printed; programs get all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """One metric over some pairs."""

    metric: str
    unit: str
    group: str | None
    """A value of the column that the summary is grouped by; None for all pairs."""
    num_units: int
    """Pairs, those in quarantine too: what coverage is counted against."""
    statistics: Statistics
    statuses: dict[str, int]
    """How many stored pairs have each status."""
    difference: Statistics | None = None
    """To the other store, pair by pair; None without one."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program; JSON has no infinities, so those are texts."""
        values = {name: getattr(self, name) for name in ("metric", "unit", "group", "num_units", "statuses")}
        difference = None if self.difference is None else _plain(self.difference)
        return {**values, **_plain(self.statistics), "difference": difference}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that is summed up."""

    metrics: tuple[MetricSummary, ...]
    """Those that have a value for each pair or clip."""
    sets: tuple[SetSummary, ...]

    def as_json(self) -> list[dict[str, Any]]:
        """Plain values for a program."""
        return [*(one.as_json() for one in self.metrics), *(one.as_json() for one in self.sets)]


def evaluation(
    store: LatentStore,
    metrics: Sequence[str],
    *,
    seed: int,
    group_by: str | None = None,
    compare_with: str | None = None,
    allow_few: bool = False,
) -> Evaluation:
    """Summarises a store.

    Args:
        store: made by `kind: evaluate`.
        metrics: of it.
        seed: of the bootstrap, and of what is drawn for sets.
        group_by: a column, to also summarise by its values.
        compare_with: another such store of the same references.
        allow_few: give a Fréchet distance of fewer clips than dimensions, too.
    """
    sets = _sets(store, metrics, seed=seed, group_by=group_by, few=allow_few)
    if compare_with:
        other = LatentStore(compare_with)
        shared = [metric for metric in metrics if {*set_columns([metric])} <= {*other.columns}]
        group = group_by if group_by in other.columns else None
        sets = with_differences(sets, _sets(other, shared, seed=seed, group_by=group, few=allow_few))
    each = [metric for metric in metrics if metric not in SET_METRICS]
    found = _each(store, each, seed=seed, group_by=group_by, compare_with=compare_with) if each else ()
    return Evaluation(metrics=found, sets=sets)


def _sets(
    store: LatentStore, metrics: Sequence[str], *, seed: int, group_by: str | None, few: bool
) -> tuple[SetSummary, ...]:
    columns = set_columns(metrics)
    if not columns:
        return ()
    rows = store.select([SAMPLE_ID, *([group_by] if group_by else []), *columns])
    keys = unit_seeds(seed, rows[SAMPLE_ID].combine_chunks(), "bootstrap")
    groups = [(name, members) for name, members, _ in _groups(store, rows, group_by)]
    return set_evaluation(rows, metrics, groups, keys=keys, seed=seed, few=few)


def _each(
    store: LatentStore, metrics: Sequence[str], *, seed: int, group_by: str | None, compare_with: str | None
) -> tuple[MetricSummary, ...]:
    """What has a value for each pair or clip."""
    wanted = [SAMPLE_ID, "source", *metrics, *(f"{metric}_status" for metric in metrics)]
    rows = store.select(list(dict.fromkeys([*wanted, *([group_by] if group_by else [])])))
    ids = rows[SAMPLE_ID].combine_chunks()
    keys, sources = (unit_seeds(seed, rows[name].combine_chunks(), "bootstrap") for name in (SAMPLE_ID, "source"))
    values = {metric: _floats(rows[metric]) for metric in metrics}
    others = _values_of(compare_with, metrics, ids) if compare_with else {}
    differences = {metric: _difference(values[metric], others[metric]) for metric in others}
    found: dict[str, list[MetricSummary]] = {metric: [] for metric in metrics}
    for group, members, num_failed in _groups(store, rows, group_by):
        drawn = keys[members], sources[members]
        own = statistics({metric: values[metric][members] for metric in metrics}, *drawn)
        to_other = statistics({metric: differences[metric][members] for metric in differences}, *drawn)
        for metric in metrics:
            statuses = Counter(rows[f"{metric}_status"].take(pa.array(members)).to_pylist())
            found[metric].append(
                MetricSummary(
                    metric=metric,
                    unit=(store.schema.field(metric).metadata or {}).get(b"unit", b"").decode(),
                    group=group,
                    num_units=len(members) + num_failed,
                    statistics=own[metric],
                    statuses=dict(sorted(statuses.items())),
                    difference=to_other.get(metric),
                )
            )
    return tuple(summary for summaries in found.values() for summary in summaries)


def describe_evaluation(evaluated: Evaluation) -> tuple[str, ...]:
    """The summary as tables for people."""
    found = evaluated.metrics
    groups = [*(one.group for one in found), *(one.group for one in evaluated.sets)]
    names = list(dict.fromkeys(group for group in groups if group is not None))
    lines = [] if not found else _describe_each(found, names[:MAX_GROUPS])
    lines += describe_sets(evaluated.sets, (None, *names[:MAX_GROUPS]))
    if len(names) > MAX_GROUPS:
        lines.append(f"({len(names) - MAX_GROUPS:,} more groups are not shown; `run --json` gives all)")
    return tuple(lines)


def _describe_each(found: Sequence[MetricSummary], groups: Sequence[str]) -> list[str]:
    lines = [
        f"{'metric':<13} {'group':<16} {'scored':>15} {'mean':>10}   {f'{CONFIDENCE:.0%} interval':<22} {'median':>10}"
        f" {'5 %':>10} {'95 %':>10}"
    ]
    shown = [summary for summary in found if summary.group in (None, *groups)]
    lines += [_row(summary, summary.statistics) for summary in shown]
    whole = [summary for summary in found if summary.group is None]
    compared = [summary for summary in whole if summary.metric in PAIR_METRICS]
    for summary in compared[:1]:
        lines += _without("not compared", {k: n for k, n in summary.statuses.items() if k in PAIR_STATUSES})
    for summary in whole:
        own = {k: n for k, n in summary.statuses.items() if summary not in compared or k not in PAIR_STATUSES}
        lines += _without(f"{summary.metric} without a value", own)
    differences = [summary for summary in shown if summary.difference is not None]
    if differences:
        lines.append("differences to the other store, over pairs that both have:")
        lines += [_row(summary, summary.difference) for summary in differences if summary.difference is not None]
    return lines


def _without(what: str, statuses: dict[str, int]) -> list[str]:
    listed = ", ".join(f"{count:,} {status}" for status, count in statuses.items() if status != "ok")
    return [f"{what}: {listed}"] if listed else []


def _row(summary: MetricSummary, values: Statistics) -> str:
    interval = "" if values.interval is None else "[" + ", ".join(f"{end:.4g}" for end in values.interval) + "]"
    share = f"{values.num_values:,} of {summary.num_units:,}"
    numbers = [values.median, *((values.quantiles[0], values.quantiles[-1]) if values.quantiles else (None, None))]
    return (
        f"{summary.metric:<13} {_fitted(summary.group):<16} {share:>15} {_shown(values.mean):>10}   {interval:<22}"
        + "".join(f" {_shown(number):>10}" for number in numbers)
    )


def _fitted(group: str | None) -> str:
    """A group's name in 16 characters: its end tells paths apart better than its beginning."""
    name = "(all)" if group is None else group
    return name if len(name) <= 16 else "…" + name[-15:]


def _shown(number: float | None) -> str:
    return "undefined" if number is None else f"{number:.4g}"


def _groups(
    store: LatentStore, rows: pa.Table, group_by: str | None
) -> Iterator[tuple[str | None, NDArray[np.int64], int]]:
    """All rows, and those of each value of a column: name, places, and how many units of it are in quarantine."""
    failed = store.quarantine()[SAMPLE_ID].combine_chunks()
    yield None, np.arange(rows.num_rows), len(failed)
    if group_by is None:
        return
    plan = find_plan(store.path)
    lost: Counter[str] = Counter()
    if plan is not None and group_by in plan.schema.names and len(failed):
        units = plan.filter(plan.named(failed.cast(pa.string()))).table([group_by])
        lost.update(_texts(units[group_by]).to_pylist())
    encoded = _texts(rows[group_by]).combine_chunks().dictionary_encode()
    codes, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    order = np.argsort(codes, kind="stable")
    places = dict(zip(names, np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]), strict=True))
    for name in sorted({*names, *lost}):
        yield name, places.get(name, np.zeros(0, np.int64)), lost[name]


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column.cast(pa.string()), MISSING)


def _difference(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pair by pair; two equal infinities do not differ."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(ours) & (ours == theirs), 0.0, ours - theirs)


def _plain(values: Statistics) -> dict[str, Any]:
    quantiles = zip(QUANTILES, values.quantiles or (None,) * len(QUANTILES), strict=True)
    return {
        "num_values": values.num_values,
        "mean": _number(values.mean),
        "interval": values.interval,
        "median": _number(values.median),
        "quantiles": {f"{level:g}": _number(value) for level, value in quantiles},
    }


def _number(value: float | None) -> float | str | None:
    return str(value) if value is not None and not math.isfinite(value) else value


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Values, NaN where there is none."""
    values: NDArray[np.float64] = pc.fill_null(column, float("nan")).to_numpy()
    return values


def _values_of(path: str, metrics: Sequence[str], ids: pa.Array) -> dict[str, NDArray[np.float64]]:
    """The metrics of another store in the order of `ids`, NaN where it has no value."""
    other = LatentStore(path)
    rows = other.select([SAMPLE_ID, *(metric for metric in metrics if f"{metric}_status" in other.columns)])
    at = pc.index_in(ids.cast(pa.string()), value_set=rows[SAMPLE_ID].combine_chunks().cast(pa.string()))
    return {name: _floats(rows[name].take(at)) for name in rows.column_names if name != SAMPLE_ID}
