"""The L1 study's trends: what rises or falls with sparsity."""

import pandas as pd

from equimodal.study.analysis.collect import SPARSITY, of_experiment
from equimodal.study.analysis.statistics import spearman
from equimodal.study.params import Analysis

TRENDS = (("l1", "sparsity"), ("sparsity", "d_util"), ("sparsity", "d_speed"))
COLUMNS = ["fidelity", "x", "y", "n", "spearman", "low", "high", "p"]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Rank-correlate penalty and sparsity, sparsity and d_util, sparsity and d_speed over the runs of each preset.

    `sparsity`: share of parameters with an absolute value below 0.001.
    """
    study = of_experiment(runs, "l1").rename(columns={SPARSITY: "sparsity"})
    how = (settings.confidence, settings.resamples, settings.seed)
    rows = [
        (fidelity, x, y, *spearman(group[x], group[y], *how))
        for fidelity, group in study.groupby("fidelity")
        for x, y in TRENDS
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
