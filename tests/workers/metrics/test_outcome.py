"""A value stands exactly beside the status ok."""

import math

import pytest

from workers.metrics.outcome import Score


def test_a_score_is_a_value_or_a_reason() -> None:
    assert Score.of(1.5) == Score(1.5, "ok")
    assert Score.of(math.inf) == Score(math.inf, "ok")
    assert Score.of(-0.0).status == "ok"
    assert Score.undefined("crash") == Score(None, "crash")
    assert Score.of(math.nan) == Score(None, "nonfinite")


@pytest.mark.parametrize(
    ("value", "status", "message"),
    [
        (None, "ok", "value None with status 'ok'"),
        (0.0, "too_short", r"value 0\.0 with status 'too_short'"),
        (math.nan, "ok", "NaN is no value"),
    ],
)
def test_refuses(value: float | None, status: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Score(value, status)  # type: ignore[arg-type]
