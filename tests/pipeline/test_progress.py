"""What a person sees, on a terminal and in a log."""

import io
import time

import pytest
from rich.console import Console

from pipeline import progress
from pipeline.commit import Receipt
from pipeline.progress import LiveProgress, PlainProgress, Tally, format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (42.4, "42 s"),
        (200, "3 min 20 s"),
        (18_420, "5 h 7 min"),
        (4e6, "1,111 h 6 min"),
    ],
)
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_the_rate_is_that_after_the_first_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    tally = Tally(num_units=100, num_done=10)
    assert tally.units_per_second is None
    for clock[0] in (130.0, 132.0, 134.0):
        tally.add(Receipt(num_units=10, audio_seconds=50.0, num_quarantined=1))
    assert tally.num_done == 43
    assert tally.units_per_second == pytest.approx(22 / 4)
    assert tally.describe() == "43/100 units · 2 min 30 s of audio · 5.5 units/s · 10 s left · 3 failed"


def test_plain_lines_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_SECONDS", 1e9)
    stream = io.StringIO()
    plain = PlainProgress(stream)
    for done in range(5):
        plain.phase("reading headers", f"{done} done")
    plain.note("precision float32, because")
    plain.start(40, 0)
    for _ in range(4):
        plain.phase("running")
        plain.receipt(Receipt(num_units=10))
    lines = stream.getvalue().splitlines()
    assert lines[:3] == ["reading headers", "precision float32, because", "running"]
    assert lines[3].startswith("10/40 units")
    assert lines[4].startswith("40/40 units")
    assert len(lines) == 5


def test_the_live_display_shows_phase_bar_and_notes() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    with LiveProgress(console) as live:
        live.phase("starting Ray")
        live.start(40, 0)
        live.note("placement: 1 model actor")
        live.receipt(Receipt(num_units=10, audio_seconds=102.4, num_quarantined=2))
        time.sleep(0.3)
    shown = stream.getvalue()
    for expected in ("starting Ray", "placement: 1 model actor", "12/40 units", "1 min 42 s of audio", "2 failed"):
        assert expected in shown
