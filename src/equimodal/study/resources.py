"""What jobs of the workflow ask a scheduler for: memory and time, from what runs were measured to take.

A job that was given too little is started again with more, and goes on where it was.
"""

from collections.abc import Iterable, Mapping
from math import ceil

from equimodal.study.cells import expected_seconds
from equimodal.study.paces import Pace, kind_of
from equimodal.study.params import Params
from equimodal.study.spec import RunSpec

MARGIN = 1.5  # ASSUME: a node is so much slower than where paces were measured, or needs so much more memory
STARTING = 5  # ASSUME: minutes for starts of Python and Snakemake and for waiting on files
AROUND = 600  # MB; two starts of Snakemake, which wait for the job: 150 MB each were measured, and its files
UNKNOWN_MEMORY = 4000  # MB; ASSUME, of what was never measured
ON_HOST = 6000  # MB; ASSUME, of a process whose network and data are on a GPU


def memory_mb(
    specs: Iterable[RunSpec],
    settings: Params,
    paces: Mapping[str, Pace],
    *,
    device: str,
    attempt: int,
) -> int:
    """MB that a job of runs asks for, half as much more at each attempt. Arrays are read from disk as needed."""
    known = [paces.get(kind_of(spec, settings)) for spec in specs]
    most = max(UNKNOWN_MEMORY if pace is None else pace.memory for pace in known)
    own = most * MARGIN if device == "cpu" else ON_HOST
    return ceil((AROUND + own) * 1.5 ** (attempt - 1))


def minutes(
    specs: Iterable[RunSpec],
    settings: Params,
    paces: Mapping[str, Pace],
    *,
    attempt: int,
) -> int:
    """Minutes that a job of runs asks for, as many more at each attempt."""
    seconds = sum(expected_seconds(spec, settings, paces) for spec in specs)
    return attempt * ceil(STARTING + MARGIN * seconds / 60)
