"""Whether the side that balanced training re-balanced more goes with d_util."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import spearman
from equimodal.study.params import Analysis

CELL = ["dataset", "fidelity", "inputs", "policy"]
COLUMNS = [*CELL, "n", "rebalanced", "one_sided", "spearman", "low", "high", "p"]
M0, M1, REGULAR = "rebalance_m0_steps", "rebalance_m1_steps", "regular_steps"


def build(runs: pd.DataFrame, histories: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Count the steps up to the chosen epoch by mode, and rank-correlate their balance with d_util.

    With r_u the share of steps in rebalance u, `rebalanced` is the mean of r_m0 + r_m1, `one_sided` that of
    |r_m1 - r_m0|, and `spearman` compares r_m1 - r_m0 with d_util, which both are positive toward m1.
    """
    sweeps = in_order(of_experiment(runs, "sweep_balanced"), *CELL)
    sweeps = sweeps[sweeps["status"] == "finished"]
    taken = histories.merge(sweeps[["run", "best_epoch"]], on="run")
    taken = taken[taken["epoch"] <= taken["best_epoch"]]
    steps = taken.reindex(columns=["run", M0, M1, REGULAR]).groupby("run").sum()
    shares = steps.div(steps.sum(axis=1), axis=0)
    models = sweeps.set_index("run").join(shares).assign(toward=lambda m: m[M1] - m[M0])
    rows = []
    for cell, group in by_cell(models, CELL):
        n, *tested = spearman(group["toward"], group["d_util"], settings)
        means = (group[M0] + group[M1]).mean(), group["toward"].abs().mean()
        rows.append((*cell.values(), n, *means, *tested))
    return pd.DataFrame(rows, columns=COLUMNS)
