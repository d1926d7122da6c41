"""Cells: the runs that one job of the workflow trains and evaluates, in one process, and what it asks a scheduler for.

A job that was given too little is started again with more, and goes on where it was.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from math import ceil

from equimodal.study import paces as known
from equimodal.study.expansion import expand_runs
from equimodal.study.paces import Pace
from equimodal.study.params import Params
from equimodal.study.spec import RunSpec

# Of a step whose kind of network was never measured. A guess that is too small makes jobs longer.
UNKNOWN_STEP = 0.05  # seconds
START = 4.0  # seconds until a cell trains: Python and torch
MARGIN = 1.5  # ASSUME: a node is so much slower than where paces were measured, or needs so much more memory
STARTING = 5  # ASSUME: minutes for starts of Python and Snakemake and for waiting on files
AROUND = 600  # MB; two starts of Snakemake, which wait for the job: 150 MB each were measured, and its files
UNKNOWN_MEMORY = 4000  # MB; ASSUME, of what was never measured
ON_HOST = 6000  # MB; ASSUME, of a process whose network and data are on a GPU


def expected_seconds(spec: RunSpec, settings: Params, paces: Mapping[str, Pace]) -> float:
    """Seconds of a run to its last epoch; by a guess if its kind was never measured."""
    dataset = settings.datasets[spec.dataset]
    pace = paces.get(known.kind_of(spec, settings))
    if pace is None:
        return known.steps_worth(spec, known.most_steps(spec, dataset)) * UNKNOWN_STEP
    return known.run_seconds(spec, dataset, pace)


def cells(settings: Params, minutes: float) -> dict[str, list[str]]:
    """Gather the runs of a scale into cells, cell -> names of its runs.

    Runs of a cell share the data set and the weights to start from, and belong to the same experiments, so that whoever
    asks for one experiment gets no other. A cell lasts about `minutes`, on the machine whose paces come with the code: so
    it is the same cell everywhere. A run that lasts longer has a cell of its own.
    """
    specs = expand_runs(settings)
    asked = {e: expand_runs(settings, e) for e in settings.experiments}
    paces = known.paces_with_the_code()

    def shared(name: str) -> tuple[str, ...]:
        spec = specs[name]
        return (
            spec.dataset,
            spec.pretrained or "",
            spec.policy if spec.members else "",  # not beside the runs that it reads
            *(e for e, runs in asked.items() if name in runs),
        )

    found: dict[str, list[str]] = {}
    numbers = dict.fromkeys(settings.datasets, 0)  # of cells
    for (dataset, *_), together in groupby(sorted(specs, key=shared), key=shared):
        left = 0.0  # seconds of the last cell
        for run in together:
            lasts = expected_seconds(specs[run], settings, paces)
            if lasts > left:
                name, left = f"{dataset}_{numbers[dataset]}", 60 * minutes
                numbers[dataset] += 1
                found[name] = []
            found[name].append(run)
            left -= lasts
    return found


def cell_seconds(
    found: Mapping[str, Iterable[str]], settings: Params, device: str
) -> dict[str, float]:
    """Return how long each cell will last at most, by what was measured here or comes with the code."""
    specs, paces = expand_runs(settings), known.paces_known(device)
    return {
        cell: START + sum(expected_seconds(specs[run], settings, paces) for run in runs)
        for cell, runs in found.items()
    }


def memory_mb(
    specs: Iterable[RunSpec],
    settings: Params,
    paces: Mapping[str, Pace],
    *,
    device: str,
    attempt: int,
) -> int:
    """MB that a job of runs asks for, half as much more at each attempt. Arrays are read from disk as needed."""
    measured = [paces.get(known.kind_of(spec, settings)) for spec in specs]
    most = max(UNKNOWN_MEMORY if pace is None else pace.memory for pace in measured)
    own = most * MARGIN if device == "cpu" else ON_HOST
    return ceil((AROUND + own) * 1.5 ** (attempt - 1))


def minutes_of(
    specs: Iterable[RunSpec],
    settings: Params,
    paces: Mapping[str, Pace],
    *,
    attempt: int,
) -> int:
    """Minutes that a job of runs asks for, as many more at each attempt."""
    seconds = sum(expected_seconds(spec, settings, paces) for spec in specs)
    return attempt * ceil(STARTING + MARGIN * seconds / 60)
