"""What all clips of an `evaluate` store say together, as two sets: none of it needs pairs, or sets of one size."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workers.metrics.class_probabilities import class_probabilities
from workers.metrics.embedding_moments import EmbeddingMoments
from workers.metrics.fixed_point import LIMIT
from workers.metrics.frechet import fad
from workers.metrics.inception_score import inception_score
from workers.metrics.kernel_distance import NoSpreadError, kad
from workers.metrics.metric_names import SET_METRICS, SetMetric

SIDES: Final = ("reference", "candidate")
COLUMNS: Final[dict[SetMetric, tuple[str, ...]]] = {
    "fad": ("reference_embedding", "candidate_embedding"),
    "kad": ("reference_embedding", "candidate_embedding"),
    "inception_score": ("candidate_class_log_probabilities",),
}
"""What each is computed from."""

SPLITS: Final = 10
"""Of an inception score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSummary:
    """One value of two sets, or of the candidates alone."""

    metric: SetMetric
    group: str | None
    """A value of the column that the summary is grouped by; None for all."""
    status: str
    """`ok`; or `too_few` clips, or `no_spread` among the references: why there is no value."""
    value: float | None
    num_vectors: dict[str, int]
    """Clips that count, by side."""
    statuses: dict[str, dict[str, int]]
    """Clips with each status, by side: `no_reference` and `no_candidate` are no clips."""
    dimension: int
    """Of the vectors."""
    details: dict[str, float]
    """What else is known of the value."""
    difference: float | None = None
    """To the other store; None without one, or where it has no value."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a program."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vectors:
    """A column of vectors."""

    values: NDArray[np.float32]
    """[n, d]."""
    statuses: NDArray[np.object_]
    """[n]."""

    def of(self, members: NDArray[np.int64]) -> NDArray[np.float32]:
        """Those of some rows that there are."""
        return np.asarray(self.values[members[self.statuses[members] == "ok"]])


Group = tuple[str | None, NDArray[np.int64]]


def set_evaluation(
    rows: pa.Table, metrics: Sequence[str], groups: Iterable[Group], *, keys: NDArray[np.uint64], seed: int, few: bool
) -> tuple[SetSummary, ...]:
    """Summarises sets; the same to the bit in whatever order rows come.

    Args:
        rows: of a store, with the columns of `set_columns`.
        metrics: of the store; those that are none of sets are left out.
        groups: names of sets, None for all, with the places of their rows.
        keys: of the rows: a hash of seed and name.
        seed: of what is drawn.
        few: whether to give a Fréchet distance of fewer clips than dimensions.
    """
    wanted = set_metrics(metrics)
    names = dict.fromkeys(column for metric in wanted for column in COLUMNS[metric])
    vectors = {name: _vectors(rows, name) for name in names}
    groups = list(groups)
    found = []
    for metric in wanted:
        sides = [vectors[name] for name in COLUMNS[metric]]
        summarise = partial(_summary, metric, sides, keys=keys, seed=seed, few=few, scale=_scale(sides))
        found += [summarise(name, members) for name, members in groups]
    return tuple(found)


def set_metrics(metrics: Sequence[str]) -> list[SetMetric]:
    """Those that are of sets, in the order given."""
    return sorted((name for name in SET_METRICS if name in metrics), key=list(metrics).index)


def set_columns(metrics: Iterable[str]) -> list[str]:
    """Columns of a store that its sets are summarised from."""
    wanted = dict.fromkeys(column for metric in SET_METRICS if metric in metrics for column in COLUMNS[metric])
    return [name for column in wanted for name in (column, f"{column}_status")]


def with_differences(found: Iterable[SetSummary], other: Iterable[SetSummary]) -> tuple[SetSummary, ...]:
    """The summaries with their differences to those of another store."""
    theirs = {(one.metric, one.group): one.value for one in other}
    return tuple(_with_difference(one, theirs.get((one.metric, one.group))) for one in found)


def describe_sets(found: Sequence[SetSummary], shown_groups: Sequence[str | None]) -> list[str]:
    """The summaries as a table for people."""
    if not found:
        return []
    lines = [f"{'of sets':<16} {'group':<16} {'references':>15} {'candidates':>15} {'dimensions':>10} {'value':>12}"]
    for one in (one for one in found if one.group in shown_groups):
        sides = [
            f"{one.num_vectors[side]:,} of {_there(one, side):,}" if side in one.statuses else "" for side in SIDES
        ]
        value = one.status if one.value is None else f"{one.value:.5g}"
        if one.difference is not None:
            value += f"   ({one.difference:+.4g} to the other store)"
        name = "(all)" if one.group is None else one.group
        name = name if len(name) <= 16 else "…" + name[-15:]
        lines.append(f"{one.metric:<16} {name:<16} {sides[0]:>15} {sides[1]:>15} {one.dimension:>10} {value:>12}")
    told: dict[str, None] = {}
    for one in (one for one in found if one.group is None):
        for side, statuses in one.statuses.items():
            left_out = {k: n for k, n in statuses.items() if k not in ("ok", "no_reference", "no_candidate")}
            if left_out:
                listed = ", ".join(f"{count:,} {status}" for status, count in left_out.items())
                told[f"{side}s that {_model(one.metric)} left out: {listed}"] = None
        if one.status == "too_few":
            told[_too_few(one)] = None
    return [*lines, *told]


def _model(metric: SetMetric) -> str:
    return "the classifier" if metric == "inception_score" else "the embedding"


def _too_few(one: SetSummary) -> str:
    if one.metric == "fad":
        return (
            f"fad: too few clips for a covariance of {one.dimension} dimensions, which takes as many; give more, or set"
            " allow_few: true for a distance that is far too large"
        )
    return f"{one.metric}: too few clips; it takes {SPLITS if one.metric == 'inception_score' else 2}"


def _there(one: SetSummary, side: str) -> int:
    return sum(count for status, count in one.statuses[side].items() if status != f"no_{side}")


def _summary(
    metric: SetMetric,
    vectors: Sequence[_Vectors],
    group: str | None,
    members: NDArray[np.int64],
    *,
    keys: NDArray[np.uint64],
    seed: int,
    few: bool,
    scale: float,
) -> SetSummary:
    sides = SIDES[-len(vectors) :]
    sets = [one.of(members) for one in vectors]
    own = [keys[members[one.statuses[members] == "ok"]] for one in vectors]
    dimension = vectors[0].values.shape[1]
    status, value, details = "too_few", None, {}
    fewest = min(len(one) for one in sets)
    if metric == "fad" and fewest >= (2 if few else max(2, dimension)):
        moments = [EmbeddingMoments.of(one / np.float32(scale)) for one in sets]
        status, value = "ok", fad(*moments, allow_few=few).value * scale**2
    elif metric == "kad" and fewest >= 2:
        try:
            distance = kad(*(one / np.float32(scale) for one in sets), reference_keys=own[0], seed=seed)
            status, value = "ok", distance.value
            details = {"bandwidth": distance.bandwidth * scale, "bandwidth_rows": distance.bandwidth_rows}
        except NoSpreadError:
            status = "no_spread"
    elif metric == "inception_score" and fewest >= SPLITS:
        score = inception_score(class_probabilities(sets[0], "softmax"), own[0], num_splits=SPLITS, seed=seed)
        status, value = "ok", score.mean
        details = {"standard_deviation": score.standard_deviation, "num_splits": SPLITS}
    counted = [Counter(one.statuses[members].tolist()) for one in vectors]
    return SetSummary(
        metric=metric,
        group=group,
        status=status,
        value=value,
        num_vectors={side: len(one) for side, one in zip(sides, sets, strict=True)},
        statuses={side: dict(sorted(counts.items())) for side, counts in zip(sides, counted, strict=True)},
        dimension=dimension,
        details=details,
    )


def _scale(vectors: Sequence[_Vectors]) -> float:
    """The power of two that brings all values into the range of exact sums: dividing by it costs no digit."""
    largest = max(float(np.abs(one.values[one.statuses == "ok"]).max(initial=0.0)) for one in vectors)
    scale = 1.0
    while largest / scale >= LIMIT * (1 - 2.0**-16):
        scale *= 2.0
    return scale


def _vectors(rows: pa.Table, name: str) -> _Vectors:
    column = rows[name].combine_chunks()
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], np.float32, len(column) * width // 4, column.offset * width)
    statuses = rows[f"{name}_status"].to_numpy()
    return _Vectors(values=data.reshape(len(column), -1), statuses=statuses.astype(object))


def _with_difference(one: SetSummary, theirs: float | None) -> SetSummary:
    return one if one.value is None or theirs is None else replace(one, difference=one.value - theirs)
