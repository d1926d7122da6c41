"""Times things in turn: what two lines of code cost in one run, on one machine, side by side.

The standard library's `timeit` calls them and torch's `Measurement` has the median and the spread. torch's
own `Timer` is not used: it calls everything twice more before each measurement, minutes of products.
"""

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from timeit import timeit
from typing import Any

import numpy as np
from numpy import ndarray
from torch.utils.benchmark import Measurement, TaskSpec

Call = Callable[[], object]
Row = dict[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """Some calls that are timed in turn.

    Attributes:
        about: What one call does.
        build: Makes the calls, by name, in a folder that is theirs.
        against: Pairs of calls whose ratio is of interest: time of the first over that of the second.
        number: Calls in a row, which count as one.
        rounds: How often each has its turn.
    """

    about: str
    build: Callable[[Path], Mapping[str, Call]]
    against: tuple[tuple[str, str], ...] = ()
    number: int = 1
    rounds: int = 7
    large: bool = False  # run only if it is asked for


@dataclass
class Times:
    """Wall and CPU seconds of a call, one row a round."""

    number: int
    rounds: list[ndarray] = field(default_factory=list)

    def take(self, call: Call) -> None:
        """Time one round."""
        self.rounds.append(np.asarray(timeit(call, timer=seconds, number=self.number)))  # type: ignore[arg-type]

    def of(self, clock: int) -> Measurement:
        """Return the seconds of one call by a clock: 0 is wall, 1 CPU."""
        raw = [float(r[clock]) for r in self.rounds]
        return Measurement(self.number, raw, TaskSpec("", ""))


def seconds() -> ndarray:
    """Wall and CPU seconds so far, those of all processes included that this one has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() + children.ru_utime + children.ru_stime
    return np.array([time.perf_counter(), cpu])


def measure(
    name: str, benchmark: Benchmark, rounds: int | None = None
) -> tuple[list[Row], list[Row]]:
    """Run a benchmark.

    Each call is made once before. In every second round their order is the reverse.

    Returns:
        A row for each call, and one for each pair. A ratio is the median over rounds, each of which has
        its own: what slows the machine for a while is in both of its numbers.
    """
    with TemporaryDirectory() as folder:
        calls = benchmark.build(Path(folder))
        times = {side: Times(benchmark.number) for side in calls}
        for call in calls.values():
            call()
        for turn in range(rounds or benchmark.rounds):
            for side in list(calls)[:: 1 if turn % 2 == 0 else -1]:
                times[side].take(calls[side])
    rows = [
        {"benchmark": name, "call": side, **_spread(t.of(0), t.of(1)), "rounds": len(t.rounds)}
        | {"peak_mb": getattr(calls[side], "peak_mb", None)}
        for side, t in times.items()
    ]
    ratios = [
        {"benchmark": name, "call": a, "against": b, **_spread(*_ratios(times[a], times[b]))}
        for a, b in benchmark.against
    ]
    return rows, ratios


def _ratios(ours: Times, theirs: Times) -> list[Measurement]:
    each = np.array(ours.rounds) / np.array(theirs.rounds)
    return [Measurement(1, column.tolist(), TaskSpec("", "")) for column in each.T]


def _spread(wall: Measurement, cpu: Measurement) -> Row:
    return {"wall": wall.median, "wall_iqr": wall.iqr, "cpu": cpu.median, "cpu_iqr": cpu.iqr}
