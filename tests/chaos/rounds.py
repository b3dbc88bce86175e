"""Rounds of chaos: something is killed at a random moment of a run, and the store must be as if nothing had been."""

import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.cluster import RayletCluster, kill
from tests.chaos.job import RECIPES, STARTED, Driver, Outcome, look_at, make_recordings

FAULTS = ("decode", "actor", "raylet", "driver")
"""What is killed with SIGKILL: a decode worker, a model actor, a raylet with all its workers, the driver."""
MAX_DRAWS = 5
"""A kill that came after the run had ended is drawn again, with an earlier moment, at most so often."""
EARLIER = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was done to a run, and what its store holds after all."""

    number: int
    kind: str
    fault: str
    moment_seconds: float
    """From the start of the run, or of the driver where that is killed, to the kill."""
    num_too_late: int
    """Draws that came to nothing because the run was over."""
    hit: bool
    exit_code: int
    """Of the run that finished the store."""
    num_lost: int
    num_duplicated: int
    num_quarantined: int
    digest_equal: bool
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether the fault did no harm."""
        harmless = not (self.exit_code or self.num_lost or self.num_duplicated or self.num_quarantined)
        return self.hit and harmless and self.digest_equal

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"sound": self.sound}


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A run that nothing happened to."""

    outcome: Outcome
    prepared_seconds: float
    """Until the run of what is pending begins."""
    seconds: float


class Chaos:
    """Runs jobs on a cluster and kills parts of them."""

    def __init__(
        self,
        cluster: RayletCluster,
        folder: Path,
        seed: int,
        *,
        faults: tuple[str, ...] = FAULTS,
        kinds: tuple[str, ...] = tuple(RECIPES),
    ) -> None:
        self._cluster = cluster
        self._faults = faults
        self._kinds = kinds
        self._folder = folder
        self._random = random.Random(seed)
        self._source = folder / "recordings"
        self._undisturbed: dict[str, Undisturbed] = {}
        make_recordings(self._source)

    def rounds(self, count: int) -> Iterator[Round]:
        """So many rounds, every fault in turn, kinds of jobs mixed."""
        for number in range(count):
            fault = self._faults[number % len(self._faults)]
            yield self._round(number, fault, self._random.choice(self._kinds))

    def undisturbed(self, kind: str) -> Undisturbed:
        """The run of this kind that others are compared with; made when it is first asked for."""
        if kind not in self._undisturbed:
            store = self._folder / f"undisturbed-{kind}"
            driver = self._start(kind, store)
            prepared = driver.wait_for(STARTED)
            if driver.wait() or prepared is None:
                raise RuntimeError(f"the undisturbed {kind} run failed:\n{driver.printed}")
            self._undisturbed[kind] = Undisturbed(look_at(store), prepared, driver.seconds)
        return self._undisturbed[kind]

    def _round(self, number: int, fault: str, kind: str) -> Round:
        usual, started = self.undisturbed(kind), time.monotonic()
        share, too_late = self._random.uniform(0.0, 1.0), 0
        while True:
            store = self._folder / f"{number:03d}-{kind}-{fault}"
            shutil.rmtree(store, ignore_errors=True)
            driver = self._start(kind, store)
            moment = self._kill(driver, fault, usual, share)
            if moment is not None or too_late + 1 == MAX_DRAWS:
                break
            share, too_late = share * EARLIER, too_late + 1
        if fault == "driver":
            driver.wait()
            driver = self._start(kind, store)
        code, expected = driver.wait(), usual.outcome
        found = look_at(store) if code == 0 else None
        result = Round(
            number=number,
            kind=kind,
            fault=fault,
            moment_seconds=round(moment or 0.0, 2),
            num_too_late=too_late,
            hit=moment is not None,
            exit_code=code,
            num_lost=found.num_lost if found else -1,
            num_duplicated=found.num_duplicated if found else -1,
            num_quarantined=found.num_quarantined if found else -1,
            digest_equal=found is not None
            and (found.content, found.content_digest) == (expected.content, expected.content_digest),
            seconds=round(time.monotonic() - started, 1),
        )
        if result.sound:
            shutil.rmtree(store)  # one that is not is kept to be looked at, with what the driver said beside it
        return result

    def _kill(self, driver: Driver, fault: str, usual: Undisturbed, share: float) -> float | None:
        """Kills what is to be killed when the moment has come; gives the moment, None if the run ended before."""
        if fault == "driver":
            begin, length = 0.0, usual.seconds
        else:
            prepared = driver.wait_for(STARTED)
            begin, length = prepared or 0.0, usual.seconds - usual.prepared_seconds
        while driver.seconds < begin + share * length:
            if driver.process.poll() is not None:
                return None
            time.sleep(0.005)
        while driver.process.poll() is None:
            moment = driver.seconds - begin
            if fault == "driver":
                driver.process.kill()
                return moment
            if fault == "raylet":
                self._cluster.kill_raylet(self._random.randrange(2))
                self._cluster.add_node()
                return moment
            workers = self._cluster.workers(fault)
            if workers and kill(self._random.choice(workers)):
                return moment
        return None

    def _start(self, kind: str, store: Path) -> Driver:
        return Driver(kind, self._source, store, self._cluster.environment, store.with_suffix(".log"))
