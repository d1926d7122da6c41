"""What each balancing method was tuned on, and whether the comparison takes the best of it."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.params import Analysis

METHOD = ["dataset", "start", "fidelity", "method", "inputs"]
CELL = [*METHOD, "setting"]
ACCURACIES = ["validation_accuracy", "accuracy"]
COLUMNS = [*CELL, "n", "unfinished", *ACCURACIES, "best", "compared"]


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """List the settings that the experiment `tuning` tried, by the name that runs have for them.

    The best of a method is one whose runs all finished; there is none before all its settings have been tried.
    """
    # A run's name has rate and hyper-parameters before its seed.
    runs = runs.assign(setting=[name.split("/")[4] for name in runs["run"]])
    tried, compared = (of_experiment(runs, experiment) for experiment in ("tuning", "methods"))
    taken = {*compared[CELL].itertuples(index=False, name=None)}
    rows = []
    for row, group in by_cell(in_order(tried, *METHOD), CELL):
        percent = 100 * group[ACCURACIES].astype(float)
        row["compared"] = "yes" if tuple(row[key] for key in CELL) in taken else ""
        row["tried"] = not (group["status"] == "missing").any()
        rows.append(row | {"n": int(percent["validation_accuracy"].count()), **percent.mean()})
    table = pd.DataFrame(rows, columns=[*COLUMNS, "tried"])
    of_method = [table[key] for key in METHOD]
    reached = table["validation_accuracy"].where(table["unfinished"] == 0)
    highest = reached.groupby(of_method).transform("max")
    is_best = (reached == highest) & table["tried"].groupby(of_method).transform("all")
    return table.assign(best=is_best.map({True: "yes", False: ""}))[COLUMNS]
