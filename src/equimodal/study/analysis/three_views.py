"""Three views: guided training of a network with three branches."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.comparisons import paired_with_vanilla
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import ends, mean_t_interval, over_seeds
from equimodal.study.params import Analysis

CELL = ["fidelity", "method"]
BRANCHES = ["accuracy_m0", "accuracy_m1", "accuracy_m2"]
COLUMNS = [
    *(*CELL, "n", "unfinished", "accuracy", "sd", "low", "high", *BRANCHES),
    *ends("difference"),
]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Average the test accuracy of each preset and method in percent, and compare it with vanilla by seed."""
    study = of_experiment(runs, "three_views")
    study = study.reindex(columns=[*study.columns.union(BRANCHES)])
    pairs = paired_with_vanilla(study)
    rows = []
    for row, group in by_cell(in_order(study, *CELL), CELL):
        of_cell = pairs[(pairs[CELL] == [row[key] for key in CELL]).all(axis=1)]
        differences = of_cell["accuracy"] - of_cell["accuracy_vanilla"]
        row |= over_seeds(100 * group["accuracy"], settings.confidence, "accuracy")
        row |= {**100 * group[BRANCHES].mean()}
        rows.append(row | mean_t_interval(differences, settings.confidence).named("difference"))
    return pd.DataFrame(rows, columns=COLUMNS)
