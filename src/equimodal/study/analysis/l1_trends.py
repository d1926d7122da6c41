"""The L1 study's trends: what rises or falls with sparsity."""

import pandas as pd

from equimodal.study.analysis.collect import SPARSITY, of_experiment
from equimodal.study.analysis.l1_study import with_sizes
from equimodal.study.analysis.statistics import spearman
from equimodal.study.params import Analysis

TRENDS = (("l1", "sparsity"), ("sparsity", "abs_d_util"), ("sparsity", "abs_d_speed"))
COLUMNS = ["fidelity", "x", "y", "n", "spearman", "low", "high", "p"]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Rank-correlate penalty and sparsity, and sparsity and imbalance, over the runs of each preset (Sec. 6.3)."""
    study = with_sizes(of_experiment(runs, "l1")).rename(columns={SPARSITY: "sparsity"})
    rows = [
        (fidelity, x, y, *spearman(group[x], group[y], settings))
        for fidelity, group in study.groupby("fidelity")
        for x, y in TRENDS
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
