"""How much the measured utilization depends on how a modality is switched off."""

import pandas as pd

from equimodal.metrics.utilization import utilization_rate
from equimodal.study.analysis.names import in_order
from equimodal.study.analysis.statistics import NAN, present, spearman
from equimodal.study.analysis.sweeps import vanilla_models
from equimodal.study.params import Analysis

REFERENCE = "isolated"  # the paper's: the other modality's mean over the training set (Sec. 4.1)
WAYS = (REFERENCE, "zeroed", "permuted", "class_mean")
CELL = ["dataset", "fidelity"]
COLUMNS = [*CELL, "way", "n", "d_util", "spearman", "low", "high"]


def build(runs: pd.DataFrame, evaluations: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Average d_util under each way of switching the other modality off, and compare the ranking."""
    models = in_order(vanilla_models(runs, "distinct"), *CELL)[["run", *CELL]]
    wide = evaluations.pivot(index="run", columns=["evaluation", "output"], values="accuracy")
    rows = []
    for cell, group in models.groupby(CELL, sort=False):
        accuracies = wide.reindex(group["run"])
        under = {way: _d_util(accuracies, way) for way in WAYS}
        for way, d_util in under.items():
            _, *correlation, _ = spearman(d_util, under[REFERENCE], settings)
            correlation = 3 * [NAN] if way == REFERENCE else correlation
            rows.append((*cell, way, len(present(d_util)), d_util.mean(), *correlation))
    return pd.DataFrame(rows, columns=COLUMNS)


def _d_util(accuracies: pd.DataFrame, way: str) -> pd.Series:
    """d_util of each run if the other modality is switched off in one way; NaN if it was not tried."""
    pairs = [("regular", "m0"), (way, "m0"), ("regular", "m1"), (way, "m1")]
    known = accuracies.reindex(columns=pd.MultiIndex.from_tuples(pairs))
    rates = [
        utilization_rate(*row[:2]) - utilization_rate(*row[2:]) for row in known.to_numpy(float)
    ]
    return pd.Series(rates, index=known.index, dtype=float)
