"""When the networks of each reading fit the training set, which ends their training."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import in_order
from equimodal.study.params import Analysis

KEYS = ["dataset", "method", "fidelity", "seed"]
COLUMNS = [*KEYS, "epochs", "train_accuracy", "first_perfect", "perfect_epochs"]


def build(runs: pd.DataFrame, histories: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """List what training alone tells of the stop rule: a row a finished network.

    `first_perfect`: the first epoch in which every training example was answered right; `perfect_epochs`: how
    many there were.
    """
    study = in_order(of_experiment(runs, "stop_rule"), "dataset", "method")
    rows = []
    for run in study[study["status"] == "finished"].itertuples():
        history = histories[histories["run"] == run.run].set_index("epoch").sort_index()
        perfect = history.index[history["train_accuracy"] == 1]
        rows.append(
            {key: getattr(run, key) for key in KEYS}
            | {"epochs": len(history), "train_accuracy": 100 * history["train_accuracy"].max()}
            | {"first_perfect": perfect.min(), "perfect_epochs": len(perfect)}
        )
    return pd.DataFrame(rows, columns=COLUMNS)
