"""Each method less vanilla training, seed by seed."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import in_order
from equimodal.study.analysis.statistics import (
    detectable_difference,
    holm,
    paired_difference,
    sample_sd,
)
from equimodal.study.params import Analysis

CELL = ["dataset", "start", "fidelity", "method"]
OUTPUTS = {"fused": "accuracy", "m0": "accuracy_m0", "m1": "accuracy_m1"}
COLUMNS = [*CELL, "output", "n", "difference", "low", "high", "p", "p_holm", "detectable"]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Compare each method of Table 1 with vanilla, for the prediction and for each branch.

    `p_holm` is corrected for the columns of Table 1, within a method, preset and output.
    """
    pairs = paired_with_vanilla(of_experiment(runs, "table1"))
    rows = []
    for cell, of_cell in in_order(pairs, *CELL).groupby(CELL, sort=False):
        for output, accuracy in OUTPUTS.items():
            differences = of_cell[accuracy] - of_cell[f"{accuracy}_vanilla"]
            n, value, low, high, p = paired_difference(differences, 0.0, settings.confidence)
            sd = sample_sd(differences)
            least = detectable_difference(sd, n, settings.confidence, settings.power)
            rows.append((*cell, output, n, value, low, high, p, None, least))
    table = pd.DataFrame(rows, columns=COLUMNS)
    families = table.groupby(["fidelity", "method", "output"], sort=False)["p"]
    return table.assign(p_holm=families.transform(holm).astype(float))


def paired_with_vanilla(runs: pd.DataFrame) -> pd.DataFrame:
    """Put the run of vanilla training beside each run of another method with equal settings and seed.

    Returns:
        A row a pair; accuracies in percent, those of the branches too, with the regular flow;
        vanilla's end in `_vanilla`. Missing where a run failed.
    """
    keys = ["dataset", "start", "fidelity", "inputs", "learning_rate", "seed"]
    accuracies = ["accuracy", "accuracy_m0", "accuracy_m1", "accuracy_m2"]
    known = runs.reindex(columns=["method", *keys, *accuracies])  # m2: in three views only
    known[accuracies] = 100 * known[accuracies].astype(float)
    vanilla = known[known["method"] == "vanilla"].drop(columns="method")
    others = known[~known["method"].isin(["vanilla", "unimodal"])]
    return others.merge(vanilla, on=keys, suffixes=("", "_vanilla"), validate="many_to_one")
