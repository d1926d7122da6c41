"""Table 1 as it would be if training had ended earlier: the best epoch up to each cap."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import ends, over_seeds
from equimodal.study.analysis.table1 import (
    CELL,
    COLUMN,
    OUTPUT,
    PAIR,
    against,
    by_output,
    with_best_unimodal,
)
from equimodal.study.params import Analysis

COLUMNS = [
    *(*CELL, "evaluation", "output", "cap", "mean", "sd", "low", "high", "n", "unfinished"),
    *(*PAIR, *ends("difference"), "verdict"),
]
OUTPUTS = {"fused": "test_accuracy", "m0": "test_accuracy_m0", "m1": "test_accuracy_m1"}


def build(
    runs: pd.DataFrame, histories: pd.DataFrame, published: pd.DataFrame, settings: Analysis
) -> pd.DataFrame:
    """Build Table 1 by cap, from what training recorded of every epoch; a row stands until the cap of the next.

    `evaluation` says which epochs count: all of them as the preset evaluates them (`regular` or
    `left_behind`), or those alone of which the last step left one mode behind. Nothing before a cap depends
    on it: the table holds what a shorter training gives.
    """
    table1 = with_best_unimodal(in_order(of_experiment(runs, "table1"), *COLUMN, "method"))
    printed = by_output(published)
    rows = []
    for row, of_cell in by_cell(table1, CELL):
        keys = {key: row.get(key) for key in OUTPUT if key != "output"}
        told = published[(published[list(keys)] == list(keys.values())).all(axis=1)]["output"]
        best = best_up_to_caps(of_cell, histories)
        for evaluation, of_way in best.groupby("evaluation", sort=False):
            for output in told:
                by_run = 100 * of_way.pivot(index="cap", columns="run", values=output).astype(float)
                known = by_run.fillna(-1.0)
                for cap, percent in by_run[(known != known.shift()).any(axis=1)].iterrows():
                    row |= {"evaluation": evaluation, "cap": cap, "output": output}
                    rows.append(
                        row
                        | over_seeds(percent, settings.confidence, "mean")
                        | against(printed, row, percent, settings)
                    )
    return pd.DataFrame(rows, columns=COLUMNS)


def best_up_to_caps(runs: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of right answers at the best epoch up to each cap.

    Returns:
        A row for each run, way of evaluating and cap up to the last epoch of any run: `run`, `seed`,
        `evaluation`, `cap`, `fused`, `m0`, `m1`. A run that has stopped keeps its last row.
    """
    finished = runs[runs["status"] == "finished"]
    epochs = histories.loc[histories["run"].isin(finished["run"]), "epoch"]
    last = int(epochs.max()) if len(epochs) else 0
    parts = [
        at_caps.assign(run=run.run, seed=run.seed, evaluation=evaluation)
        for run in finished.itertuples()
        for evaluation, epochs in _by_evaluation(run, histories)
        for at_caps in [_best_so_far(epochs, last)]
    ]
    empty = pd.DataFrame(columns=["cap", *OUTPUTS, "run", "seed", "evaluation"])
    return pd.concat([empty, *parts], ignore_index=True) if parts else empty


def _by_evaluation(run: Any, histories: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the epochs of a run as its preset evaluates them, and those of each mode left behind."""
    epochs = histories[histories["run"] == run.run]
    yield run.reported, epochs
    if run.reported == "left_behind":
        names = {f"rebalance_{getattr(run, m)}": f"rebalance_{m}" for m in ("m0", "m1")}
        modes = epochs["next_mode"].map(lambda mode: names.get(mode, mode))
        for mode, of_mode in epochs.groupby(modes):
            yield str(mode), of_mode


def _best_so_far(epochs: pd.DataFrame, last: int) -> pd.DataFrame:
    """Return the test accuracies at the best epoch up to each cap, up to `last`."""
    by_epoch = epochs.set_index("epoch").sort_index()
    validation = by_epoch["validation_accuracy"]
    is_best = validation > validation.cummax().shift(fill_value=-1)  # the first of equals
    outputs = by_epoch.reindex(columns=list(OUTPUTS.values())).set_axis(list(OUTPUTS), axis=1)
    caps = pd.RangeIndex(int(by_epoch.index[0]), last + 1, name="cap")
    return outputs[is_best].reindex(caps, method="ffill").reset_index()
