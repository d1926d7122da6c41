"""What each balancing method was tuned on, and whether the comparison takes the best of it."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment, unfinished
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.params import Analysis

CELL = ["dataset", "start", "fidelity", "method", "inputs"]
ACCURACIES = ["validation_accuracy", "accuracy"]
COLUMNS = [*CELL, "setting", "n", "unfinished", *ACCURACIES, "best", "compared"]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """List the settings that the experiment `tuning` tried, by the name that runs have for them."""
    # A run's name has rate and hyper-parameters before its seed.
    runs = runs.assign(setting=[name.split("/")[4] for name in runs["run"]])
    tried, compared = (of_experiment(runs, experiment) for experiment in ("tuning", "methods"))
    taken = {*compared[[*CELL, "setting"]].itertuples(index=False, name=None)}
    rows = []
    for cell, group in by_cell(in_order(tried, "dataset", "start", "fidelity", "method"), CELL):
        of_cell = []
        for setting, runs_of in group.groupby("setting", sort=False):
            percent = 100 * runs_of[ACCURACIES].astype(float)
            row = cell | {"setting": setting, "n": int(percent["validation_accuracy"].count())}
            row |= {"unfinished": unfinished(runs_of), **percent.mean()}
            row["compared"] = "yes" if (*cell.values(), setting) in taken else ""
            of_cell.append(row)
        highest = pd.Series([row["validation_accuracy"] for row in of_cell]).max()
        rows += [
            r | {"best": "yes" if r["validation_accuracy"] == highest else ""} for r in of_cell
        ]
    return pd.DataFrame(rows, columns=COLUMNS)
