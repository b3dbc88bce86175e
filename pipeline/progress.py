"""What a person sees while a job runs: a live line on a terminal, a plain line now and then elsewhere."""

import math
import time
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.commit import Receipt

PLAIN_INTERVAL_SECONDS = 15.0


class Progress(Protocol):
    """What a running job reports."""

    def phase(self, what: str, detail: str = "") -> None:
        """The job now does, or waits for, `what`; `detail` changes while it does."""
        ...

    def note(self, text: str) -> None:
        """A fact worth keeping on the screen."""
        ...

    def start(self, num_units: int, num_done: int) -> None:
        """There are `num_units` in the plan, of which `num_done` need no work."""
        ...

    def receipt(self, receipt: Receipt) -> None:
        """A file was committed."""
        ...


class Silent:
    """Reports nothing; for use as a library."""

    def phase(self, what: str, detail: str = "") -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""

    def start(self, num_units: int, num_done: int) -> None:
        """Ignored."""

    def receipt(self, receipt: Receipt) -> None:
        """Ignored."""


@dataclass(slots=True)
class Tally:
    """Running totals of a job."""

    num_units: int = 0
    num_done: int = 0
    num_failed: int = 0
    audio_seconds: float = 0.0
    started: float = field(default_factory=time.monotonic)
    _first: tuple[float, int] | None = None
    _last: float = 0.0

    def add(self, receipt: Receipt) -> None:
        """Counts a receipt."""
        self.num_done += receipt.num_units + receipt.num_quarantined
        self.num_failed += receipt.num_quarantined
        self.audio_seconds += receipt.audio_seconds
        self._last = time.monotonic()
        if self._first is None:
            self._first = (self._last, self.num_done)

    @property
    def units_per_second(self) -> float | None:
        """Steady rate, counted from the first commit so that start-up does not blur it; None until there are two."""
        if self._first is None or self._last == self._first[0]:
            return None
        return (self.num_done - self._first[1]) / (self._last - self._first[0])

    def describe(self) -> str:
        """One line: units, audio, rate, time left, failures."""
        parts = [f"{self.num_done:,}/{self.num_units:,} units", f"{format_duration(self.audio_seconds)} of audio"]
        rate = self.units_per_second
        if rate:
            left = max(0.0, (self.num_units - self.num_done) / rate - (time.monotonic() - self._last))
            parts += [f"{rate:,.1f} units/s", f"{format_duration(left)} left"]
        if self.num_failed:
            parts.append(f"{self.num_failed:,} failed")
        return " · ".join(parts)


class PlainProgress:
    """Lines for log files and pipes, seldom enough to read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tally = Tally()
        self._phase = ""
        self._printed = -math.inf

    def phase(self, what: str, detail: str = "") -> None:  # noqa: ARG002 (details are for the live display)
        """Prints `what`, once."""
        if what != self._phase:
            self._phase = what
            self._line(what)

    def note(self, text: str) -> None:
        """Prints `text`."""
        self._line(text)

    def start(self, num_units: int, num_done: int) -> None:
        """Starts counting."""
        self._tally = Tally(num_units=num_units, num_done=num_done)

    def receipt(self, receipt: Receipt) -> None:
        """Prints the totals if the last line is old enough, and at the end."""
        self._tally.add(receipt)
        ended = self._tally.num_done >= self._tally.num_units
        if ended or time.monotonic() - self._printed >= PLAIN_INTERVAL_SECONDS:
            self._line(self._tally.describe())
            self._printed = time.monotonic()

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class LiveProgress:
    """A bar that redraws itself, with notes scrolling above it. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally: Tally | None = None
        self._phase = ""
        self._detail = ""
        self._phase_started = time.monotonic()
        self._spinner = Spinner("dots")
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,  # what is printed meanwhile belongs to the log, not above the bar
            redirect_stderr=False,
        )

    def __enter__(self) -> "LiveProgress":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def phase(self, what: str, detail: str = "") -> None:
        """Shows `what` with the time it takes."""
        if what != self._phase:
            self._phase, self._phase_started = what, time.monotonic()
        self._detail = detail

    def note(self, text: str) -> None:
        """Prints `text` above the bar."""
        self._console.print(Text(text))

    def start(self, num_units: int, num_done: int) -> None:
        """Shows the bar."""
        self._tally = Tally(num_units=num_units, num_done=num_done)

    def receipt(self, receipt: Receipt) -> None:
        """Moves the bar."""
        if self._tally is not None:
            self._tally.add(receipt)

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 1))
        elapsed = time.monotonic() - self._phase_started
        waited = f" ({format_duration(elapsed)})" if elapsed >= 2 else ""
        table.add_row(self._spinner, Text(f"{self._phase} {self._detail}{waited}"))
        if self._tally is not None and self._tally.num_units:
            bar = ProgressBar(total=self._tally.num_units, completed=self._tally.num_done, width=30)
            line = Table.grid(padding=(0, 1))
            line.add_row(bar, Text(self._tally.describe()))
            table.add_row("", line)
        return table


def format_duration(seconds: float) -> str:
    """Time as a person says it: `0.4 s`, `42 s`, `3 min 20 s`, `5 h 7 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"
