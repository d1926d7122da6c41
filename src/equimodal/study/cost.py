"""What a step of a run costs, noted in the columns that Snakemake has for its jobs."""

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from equimodal.study.files import write_text
from equimodal.study.turns import Walk

T = TypeVar("T")


def with_noted_cost(walk: Walk[T], path: Path) -> Walk[T]:
    """Write what a walk cost at its end, and what the process took of memory at its peak until then.

    Seconds are those of its own steps, without those that others take in between. On a GPU the host's time says little of a
    run that others train beside.
    """
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
    write_text(f"s\tmax_rss\tcpu_time\n{walls:.2f}\t{peak_memory():.2f}\t{cpus:.2f}\n", path)
    return result


def peak_memory() -> float:
    """MB that this process has taken at its peak (resident set)."""
    import resource  # Windows has none

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
