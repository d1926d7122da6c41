"""What the choice of the epoch does to the accuracy."""

import pandas as pd

from equimodal.analysis.collect import of_experiment
from equimodal.analysis.names import in_order
from equimodal.analysis.statistics import mean_t_interval
from equimodal.analysis.table1 import with_best_unimodal
from equimodal.params import Analysis

CELL = ["dataset", "start", "fidelity", "method"]
EPOCHS = ["validation_selected", "last", "test_selected"]
COLUMNS = [*CELL, "n", *EPOCHS, "optimism", "optimism_low", "optimism_high"]


def build(runs: pd.DataFrame, histories: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Average the test accuracy of Table 1's runs, in percent, at three epochs of each run.

    `validation_selected`: the first epoch with the best validation accuracy; `last`: the last epoch;
    `test_selected`: the epoch with the best test accuracy. All as the training recorded them, with
    the regular flow or, under presets that say so, in the mode that was left behind. `optimism`: what
    choosing on the test set adds, test_selected - validation_selected, percentage points, with its t
    interval; 0 by construction where the validation set is the test set.
    """
    chosen = with_best_unimodal(in_order(of_experiment(runs, "table1"), *CELL))
    finished = chosen[chosen["status"] == "finished"]
    at_epochs = _at_epochs(histories)
    rows = []
    for cell, group in finished.groupby(CELL, sort=False):
        of_cell = at_epochs[at_epochs["run"].isin(group["run"])]
        optimism = mean_t_interval(
            of_cell["test_selected"] - of_cell["validation_selected"], settings.confidence
        )
        rows.append((*cell, len(of_cell), *of_cell[EPOCHS].mean(), *optimism))
    return pd.DataFrame(rows, columns=COLUMNS)


def _at_epochs(histories: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy in percent at the three epochs: a row a run."""
    rows = []
    accuracies = ["validation_accuracy", "test_accuracy"]
    known = histories.reindex(columns=["run", "epoch", *accuracies]).dropna()
    for run, history in known.groupby("run", sort=False):
        test = 100 * history["test_accuracy"]
        best = history["validation_accuracy"].idxmax()  # the first of equals
        rows.append((run, test[best], test[history["epoch"].idxmax()], test.max()))
    return pd.DataFrame(rows, columns=["run", *EPOCHS])
