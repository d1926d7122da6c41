"""Table 1 for every output of the networks under every way of evaluating."""

import pandas as pd

from equimodal.study.analysis.table1 import CELL, COLUMNS, summarize_cells
from equimodal.study.params import Analysis


def build(
    runs: pd.DataFrame,
    evaluations: pd.DataFrame,
    histories: pd.DataFrame,
    published: pd.DataFrame,
    settings: Analysis,
) -> pd.DataFrame:
    """Build the columns of Table 1, and `output`: a branch, or `fused`, the prediction.

    `evaluation` is the flow of information when the test set was answered: `regular`, that of a
    re-balancing step, the one that the last training step left behind, a way of switching the
    other modality off, or `as_trained`, the mean over the modes of training.
    """
    answers = pd.concat([evaluations, as_trained(runs, evaluations, histories)], ignore_index=True)
    rows = summarize_cells(runs, answers, published, settings)
    numbers = [c for c in COLUMNS if c not in (*CELL, "evaluation")]
    return rows[[*CELL, "evaluation", "output", *numbers]]


def as_trained(
    runs: pd.DataFrame, evaluations: pd.DataFrame, histories: pd.DataFrame
) -> pd.DataFrame:
    """Average the accuracies over the modes of training, each as often as it was taken.

    sum_mode n_mode accuracy_mode / sum_mode n_mode, where n_mode counts the steps of the chosen epoch in
    the regular mode and in each re-balancing mode: the accuracy to expect if the modes went on in the
    test as in training. Rows like those of `evaluations`, for every run that was answered in all of
    the modes that its chosen epoch took.
    """
    best_epoch = histories["run"].map(runs.set_index("run")["best_epoch"])
    chosen = histories[histories["epoch"] == best_epoch]
    counts = [c for c in histories if c.endswith("_steps")]  # such as rebalance_m1_steps
    modes = chosen.melt("run", counts, "evaluation", "taken").dropna()
    modes["evaluation"] = modes["evaluation"].str.removesuffix("_steps")
    steps = modes.groupby("run")["taken"].sum()
    modes = modes.merge(evaluations, on=["run", "evaluation"])
    modes["weighted"] = modes["taken"] * modes["accuracy"]
    total = modes.groupby(["run", "output"], sort=False)[["taken", "weighted"]].sum()
    total = total[total["taken"] == steps.reindex(total.index, level="run")]
    mean = (total["weighted"] / total["taken"]).rename("accuracy").reset_index()
    return mean.assign(evaluation="as_trained")
