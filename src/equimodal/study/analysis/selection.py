"""What the choice of the epoch does to the accuracy, and what the stop rule, which bounds the choice."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import ends, mean_t_interval, over_seeds
from equimodal.study.analysis.table1 import PAIR, against, by_output, with_best_unimodal
from equimodal.study.params import Analysis

CELL = ["dataset", "start", "fidelity", "method"]
EPOCHS = ["validation_selected", "last", "test_selected", "until_perfect"]
COLUMNS = [
    *(*CELL, "n", "unfinished", *EPOCHS[:3], *ends("optimism")),
    *("until_perfect", "sd", "low", "high", *PAIR, *ends("difference"), "verdict"),
]


def build(
    runs: pd.DataFrame, histories: pd.DataFrame, published: pd.DataFrame, settings: Analysis
) -> pd.DataFrame:
    """Average the test accuracy of Table 1's runs, in percent, at four epochs of each run.

    `validation_selected`: the first epoch with the best validation accuracy. All as the training recorded
    them, with the regular flow or, under presets that say so, in the mode that was left behind.
    `until_perfect`: validation_selected of the epochs until the first in which every training example was
    answered right, counted while the epoch trains; of all epochs if there was none. That is what the same
    networks give under `perfect_epochs: 1` (D10), since nothing before the stop depends on it.
    """
    chosen = with_best_unimodal(in_order(of_experiment(runs, "table1"), *CELL))
    at_epochs, printed = _at_epochs(histories), by_output(published)
    rows = []
    for cell, group in by_cell(chosen, CELL):
        finished = group.loc[group["status"] == "finished", "run"]
        of_cell = at_epochs[at_epochs["run"].isin(finished)]
        optimism = of_cell["test_selected"] - of_cell["validation_selected"]
        stopped = of_cell["until_perfect"]
        rows.append(
            cell
            | {**of_cell[EPOCHS].mean()}
            | mean_t_interval(optimism, settings.confidence).named("optimism")
            | over_seeds(stopped, settings.confidence, "until_perfect")
            | against(printed, cell | {"output": "fused"}, stopped, settings)
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _at_epochs(histories: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy in percent at the four epochs: a row a run."""
    rows = []
    accuracies = ["train_accuracy", "validation_accuracy", "test_accuracy"]
    known = histories.reindex(columns=["run", "epoch", *accuracies]).dropna()
    for run, history in known.sort_values("epoch").groupby("run", sort=False):
        test, validation = 100 * history["test_accuracy"], history["validation_accuracy"]
        best = validation.idxmax()  # the first of equals
        after = (history["train_accuracy"] == 1).shift(fill_value=False).cummax()
        rows.append((run, test[best], test.iloc[-1], test.max(), test[validation[~after].idxmax()]))
    return pd.DataFrame(rows, columns=["run", *EPOCHS])
