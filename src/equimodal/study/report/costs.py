"""What was spent, from the benchmark files of jobs and of runs (`cost`)."""

from collections.abc import Collection, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from equimodal.study.files import read_bytes, reading

RUN_RULES = ("train", "evaluate")
MEASURES = ("wall_seconds", "cpu_seconds", "peak_memory_mb")
COLUMNS = ("what", "runs", "measured", *MEASURES)


def costs(folder: Path, experiments: Mapping[str, Collection[str]]) -> pd.DataFrame:
    """Sum what training and evaluating cost, for each experiment (names of its runs) and for all else.

    A row for each experiment, for `all runs` (a run that several experiments ask for counts once), for `noisy MNIST` (the
    second paper's networks), for `data` (fetch and prepare) and for `products` (tables, figures, reports): number of
    `runs`, how many of them were `measured`, sums of wall-clock and CPU seconds of one process after the other, and the
    largest memory of a process in MB (resident set).
    """
    every = sorted({run for runs in experiments.values() for run in runs})
    measured = {run: found for run in every if (found := cost_of_run(folder, run)) is not None}
    rows = [
        {"what": what, "runs": len(runs), **_total([measured[r] for r in runs if r in measured])}
        for what, runs in {**experiments, "all runs": every}.items()
    ]
    jobs: dict[str, list[Mapping[str, float]]] = {"noisy MNIST": [], "data": [], "products": []}
    parts = {"noisy_mnist": "noisy MNIST", "fetch": "data", "prepare": "data"}
    for file in sorted(folder.rglob("*.tsv")):
        rule = file.relative_to(folder).parts[0]
        if rule not in RUN_RULES:
            jobs[parts.get(rule, "products")].append(read_benchmark(file))
    rows += [{"what": what, **_total(of_part)} for what, of_part in jobs.items()]
    return pd.DataFrame(rows, columns=[*COLUMNS]).astype({"runs": "Int64", "measured": "Int64"})


def cost_of_run(folder: Path, run: str) -> dict[str, float] | None:
    """What training and evaluating one run cost; None if a file is not there."""
    files = [folder / rule / f"{run}.tsv" for rule in RUN_RULES]
    if not all(f.is_file() for f in files):
        return None
    total = _total([read_benchmark(f) for f in files])
    return {m: total[m] for m in MEASURES}


def read_benchmark(path: Path) -> dict[str, float]:
    """Wall-clock and CPU seconds and peak memory (MB) of one job, NaN where it was too short; UserError if damaged."""
    with reading(path, "what a job cost", "delete it, run the job"):
        table = pd.read_csv(BytesIO(read_bytes(path)), sep="\t", na_values=["-"])
        wall, cpu, memory = (
            pd.to_numeric(table[c], errors="coerce") for c in ("s", "cpu_time", "max_rss")
        )
    values = wall.mean(), cpu.mean(), memory.max()
    return dict(zip(MEASURES, map(float, values), strict=True))


def _total(jobs: Iterable[Mapping[str, float]]) -> dict[str, Any]:
    table = pd.DataFrame(list(jobs), columns=list(MEASURES), dtype=float)
    if table.empty:
        return {"measured": 0, **dict.fromkeys(MEASURES, np.nan)}
    seconds = table[["wall_seconds", "cpu_seconds"]].sum()
    return {"measured": len(table), **seconds, "peak_memory_mb": table["peak_memory_mb"].max()}
