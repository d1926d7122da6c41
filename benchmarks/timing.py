"""Times things in turn: what two lines of code cost in one run, on one machine, side by side.

The standard library's `timeit` calls them. torch's `Timer` is not used: it calls everything twice more before
each measurement, minutes of products.
"""

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from timeit import timeit
from typing import Any

import numpy as np
from numpy import ndarray

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
        number, turns = benchmark.number, rounds or benchmark.rounds
        times = {side: np.empty((turns, 2)) for side in calls}  # of one call
        for call in calls.values():
            call()
        for turn in range(turns):
            for side in list(calls)[:: 1 if turn % 2 == 0 else -1]:
                taken = np.asarray(timeit(calls[side], timer=seconds, number=number))  # type: ignore[arg-type]
                times[side][turn] = taken / number
    rows = [
        {"benchmark": name, "call": side, **_spread(t), "rounds": turns}
        | {"peak_mb": getattr(calls[side], "peak_mb", None)}
        for side, t in times.items()
    ]
    ratios = [
        {"benchmark": name, "call": a, "against": b, **_spread(times[a] / times[b])}
        for a, b in benchmark.against
    ]
    return rows, ratios


def _spread(rounds: ndarray) -> Row:
    """Median and interquartile range of wall and CPU times, or of their ratios, one row a round."""
    low, median, high = np.percentile(rounds, [25, 50, 75], axis=0)
    (wall, cpu), (wall_iqr, cpu_iqr) = median.tolist(), (high - low).tolist()
    return {"wall": wall, "wall_iqr": wall_iqr, "cpu": cpu, "cpu_iqr": cpu_iqr}
