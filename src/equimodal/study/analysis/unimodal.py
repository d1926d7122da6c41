"""The uni-modal networks: what each modality tells by itself."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import over_seeds
from equimodal.study.params import Analysis

CELL = ["dataset", "start", "fidelity", "inputs"]
COLUMNS = [*CELL, "n", "unfinished", "accuracy", "sd", "low", "high", "published_accuracy"]


def build(runs: pd.DataFrame, published_unimodal: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Average the test accuracy in percent of the networks with one modality, `inputs`, over seeds.

    Table 1 has the better of a data set's two.
    """
    study = of_experiment(runs, "table1")
    alone = in_order(study[study["method"] == "unimodal"], *CELL)
    rows = [
        cell | over_seeds(100 * group["accuracy"], settings.confidence, "accuracy")
        for cell, group in by_cell(alone, CELL)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    return table.merge(published_unimodal, on=["dataset", "start", "inputs"], how="left")
