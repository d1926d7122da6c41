"""What balanced training re-balanced more often, and what its models became."""

import numpy as np
import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import NAN, ends, resampled_mean, spearman
from equimodal.study.analysis.sweeps import of_vanilla
from equimodal.study.params import Analysis

CELL = ["dataset", "start", "fidelity", "inputs", "policy"]
COMPARED = ("u_side", "u_other")
COLUMNS = [
    *(*CELL, "n", "rebalanced", "one_sided", "spearman", "low", "high", "p"),
    *(c for u in COMPARED for c in (u, *ends(f"{u}_difference"))),
    *ends("vanilla_lean"),
]
M0, M1, REGULAR = "rebalance_m0_steps", "rebalance_m1_steps", "regular_steps"
U0, U1 = "u_m1_given_m0", "u_m0_given_m1"  # of the branches of m0 and of m1


def build(runs: pd.DataFrame, histories: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Count the steps up to the chosen epoch by mode, and compare what the branches lose without the other modality.

    With r_u the share of steps in rebalance u, `rebalanced` is the mean of r_m0 + r_m1, `one_sided` that of
    |r_m1 - r_m0|, and `spearman` compares r_m1 - r_m0 with d_util. The side is the branch that was re-balanced more:
    `u_side` is what it loses without the other modality, and `u_other` what the other branch loses. Differences are to
    the vanilla model of the same rate and seed. `vanilla_lean` is that model's d_util, with its sign turned if the side
    is m0.
    """
    sweeps = in_order(of_experiment(runs, "sweep_balanced"), *CELL)
    sweeps = sweeps[sweeps["d_util"].notna()]
    taken = histories.merge(sweeps[["run", "best_epoch"]], on="run")
    taken = taken[taken["epoch"] <= taken["best_epoch"]]
    steps = taken.reindex(columns=["run", M0, M1, REGULAR]).groupby("run").sum()
    models = sweeps.join(steps.div(steps.sum(axis=1), axis=0), on="run")
    models = models.assign(toward=models[M1] - models[M0])
    side = np.sign(models["toward"]).replace(0, NAN)  # a model that is re-balanced alike has none
    models["vanilla_lean"] = side * of_vanilla(models, runs, "d_util")
    for u, of_m1 in zip(COMPARED, (side > 0, side < 0), strict=True):
        vanilla = of_vanilla(models, runs, U1).where(of_m1, of_vanilla(models, runs, U0))
        models[u] = models[U1].where(of_m1, models[U0]).where(side.notna())
        models[f"{u}_difference"] = models[u] - vanilla
    rows = []
    for cell, group in by_cell(models, CELL):
        n, rho, low, high, p = spearman(group["toward"], group["d_util"], settings)
        row = cell | {"n": n, "spearman": rho, "low": low, "high": high, "p": p}
        row |= {"rebalanced": (group[M0] + group[M1]).mean()}
        row |= {"one_sided": group["toward"].abs().mean()}
        row |= {u: group[u].mean() for u in COMPARED}
        for measure in (*(f"{u}_difference" for u in COMPARED), "vanilla_lean"):
            row |= resampled_mean(group[measure], settings).named(measure)
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)
