"""Balancing methods side by side, with paired differences to uniform training and to the ensemble."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import (
    Estimate,
    detectable_difference,
    ends,
    holm,
    mean_t_interval,
    over_seeds,
    paired_difference,
    sample_sd,
)
from equimodal.study.params import Analysis

CELL = ["dataset", "start", "fidelity", "method", "inputs"]
PAIRED = ["dataset", "start", "inputs", "seed"]  # of equal initial weights and batches
AGAINST = ("uniform", "ensemble")
UTILIZATIONS = ("d_util", "d_util_by_label")
OF_EACH = ("accuracy_alone_", "shapley_")  # modality, which are two or more
MEANS = ("calibration_error", "d_speed")
COLUMNS = [
    *(*CELL, "n", "accuracy", "sd", "low", "high", "unfinished", "last", "test_selected"),
    *(
        c
        for o in AGAINST
        for c in (*ends(f"difference_{o}"), f"p_{o}", f"p_holm_{o}", f"detectable_{o}")
    ),
    *(end for u in UTILIZATIONS for end in ends(u)),
]


def build(runs: pd.DataFrame, histories: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Average the runs of the experiment `methods`, a row a method and preset.

    Differences are to `uniform` of the same preset, and to the `ensemble`, of another if there is none of the same.
    """
    chosen = in_order(of_experiment(runs, "methods"), "dataset", "start", "fidelity", "method")
    epochs = histories.reindex(columns=["run", "test_accuracy"])  # none, where all runs failed
    by_run = epochs.groupby("run")["test_accuracy"]
    finished = chosen["run"].where(chosen["status"] == "finished")
    last, best = (finished.map(of_run) for of_run in (by_run.last(), by_run.max()))
    chosen = chosen.assign(last=last, test_selected=best)
    percent = ["accuracy", "last", "test_selected"]
    chosen[percent] = 100 * chosen[percent].astype(float)
    usual = [f"{x}{m}" for x in OF_EACH for m in ("m0", "m1")]
    there = dict.fromkeys([*usual, *map(str, chosen)])
    means = [*(c for x in OF_EACH for c in there if c.startswith(x)), *MEANS]
    chosen = chosen.reindex(columns=[*dict.fromkeys([*chosen.columns, *UTILIZATIONS, *means])])
    rows = []
    for row, group in by_cell(chosen, CELL):
        row |= over_seeds(group["accuracy"], settings.confidence, "accuracy")
        row |= {c: group[c].astype(float).mean() for c in ("last", "test_selected", *means)}
        for utilization in UTILIZATIONS:
            row |= mean_t_interval(group[utilization], settings.confidence).named(utilization)
        for other in AGAINST:
            row |= _against(group, _of(chosen, other, row), other, settings)
        rows.append(row)
    table = pd.DataFrame(rows, columns=[*COLUMNS, *means])
    for other in AGAINST:
        families = table.groupby(["dataset", "start", "fidelity"], sort=False)[f"p_{other}"]
        table[f"p_holm_{other}"] = families.transform(holm).astype(float)
    return table


def _of(runs: pd.DataFrame, method: str, row: Mapping[str, Any]) -> pd.DataFrame:
    of_row = (runs["dataset"] == row["dataset"]) & (runs["start"] == row["start"])
    runs = runs[of_row & (runs["method"] == method)]
    same = runs[runs["fidelity"] == row["fidelity"]]
    if len(same) or method == "uniform":
        return same
    return runs[runs["fidelity"] == runs["fidelity"].min()]


def _against(
    group: pd.DataFrame, other: pd.DataFrame, name: str, settings: Analysis
) -> dict[str, float]:
    columns = [*PAIRED, "accuracy"]
    is_it = len(group) and group["method"].iloc[0] == name
    pairs = group[columns].merge(other[columns], on=PAIRED, suffixes=("", "_other"))
    differences = pairs["accuracy"] - pairs["accuracy_other"]
    if is_it:  # of itself there is no difference
        differences = differences * np.nan
    n, *estimate, p = paired_difference(differences, 0.0, settings.confidence)
    least = detectable_difference(sample_sd(differences), n, settings.confidence, settings.power)
    told = {f"p_{name}": p, f"detectable_{name}": least}
    return Estimate(*estimate).named(f"difference_{name}") | told
