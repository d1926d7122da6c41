"""What a step of a run costs, noted in the columns that Snakemake has for its jobs."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from equimodal.study.files import write_text
from equimodal.study.turns import Walk

T = TypeVar("T")


@contextmanager
def noted_cost(path: Path) -> Iterator[None]:
    """Write wall-clock and CPU seconds of what is done inside, and the peak memory of the process so far."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    _write(path, time.perf_counter() - wall, time.process_time() - cpu)


def with_noted_cost(walk: Walk[T], path: Path) -> Walk[T]:
    """Write the same of a walk: of its own steps, without those that others take in between."""
    walls = cpus = 0.0
    with closing(walk):
        while True:
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                save = next(walk)
            except StopIteration as end:
                result: T = end.value
                break
            finally:
                walls += time.perf_counter() - wall
                cpus += time.process_time() - cpu
            yield save
    _write(path, walls, cpus)
    return result


def _write(path: Path, wall: float, cpu: float) -> None:
    write_text(f"s\tmax_rss\tcpu_time\n{wall:.2f}\t{peak_memory():.2f}\t{cpu:.2f}\n", path)


def peak_memory() -> float:
    """MB that this process has taken at its peak (resident set)."""
    import resource  # Windows has none

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
