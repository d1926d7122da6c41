"""Greediness of each policy: the expectation of d_util over the models of a sweep."""

from typing import Any

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import NAN, ends, present, resampled_mean, symmetry_p
from equimodal.study.analysis.sweeps import of_vanilla
from equimodal.study.params import Analysis

CELL = ["dataset", "start", "inputs", "policy", "fidelity"]
COLUMNS = [
    *(*CELL, "n", "unfinished", *ends("d_util"), "abs_d_util", *ends("d_util_by_label", "d_speed")),
    *ends("size", "size_difference"),
    *("symmetry_p", "n_perfect", "d_util_perfect"),
    *("published_d_util", "published_abs_d_util"),
]


def build(
    runs: pd.DataFrame, published_greediness: pd.DataFrame, settings: Analysis
) -> pd.DataFrame:
    """Average d_util and d_speed over the models of each sweep, with bootstrap intervals (Student's of few).

    `n` models have a d_util; the others are `unfinished`, or a branch of theirs answers nothing right.
    `abs_d_util`: Sec. 4.2. `size`: the mean of |d_util|, which models that lean to opposite sides do not bring to 0; its
    difference is to the vanilla model of the same rate and seed. `symmetry_p`: of the identical pair only, of which the
    paper says so (Sec. 6.2).
    """
    asked = of_experiment(runs, "sweep").index.union(of_experiment(runs, "sweep_balanced").index)
    runs = runs.assign(size=runs["d_util"].astype(float).abs())
    sweeps = in_order(runs.loc[asked], *CELL)
    difference = sweeps["size"] - of_vanilla(sweeps, runs, "size")
    sweeps = sweeps.assign(size_difference=difference.where(sweeps["policy"] != "vanilla"))
    rows = [cell | _summarize(of_cell, settings) for cell, of_cell in by_cell(sweeps, CELL)]
    table = pd.DataFrame(rows, columns=COLUMNS[:-2])
    keys = ["dataset", "inputs", "policy"]
    return table.merge(published_greediness, on=keys, how="left", validate="many_to_one")[COLUMNS]


def _summarize(models: pd.DataFrame, settings: Analysis) -> dict[str, Any]:
    row: dict[str, Any] = {"n": len(present(models["d_util"]))}
    row["unfinished"] = len(models) - row["n"]
    for measure in ("d_util", "d_util_by_label", "d_speed", "size", "size_difference"):
        row |= resampled_mean(models[measure], settings).named(measure)
    identical = (models["inputs"] == "identical").all()
    p = symmetry_p(models["d_util"]) if identical else NAN
    perfect = present(models.loc[models["reached_perfect"].eq(True), "d_util"])
    row |= {"n_perfect": len(perfect), "d_util_perfect": perfect.mean() if len(perfect) else NAN}
    return row | {"abs_d_util": abs(row["d_util"]), "symmetry_p": p}
