"""Key numbers and curves for `dvc metrics` and `dvc plots`, which compare them between commits.

Metrics are nested by data set, so that one is named `table1.colored_mnist.guided`, say.
"""

import math
from typing import Any

import pandas as pd

from equimodal.study.analysis.collect import of_experiment

USUAL = {"start": "scratch", "fidelity": "paper"}


def key_numbers(
    table1: pd.DataFrame, greediness: pd.DataFrame, prediction: pd.DataFrame
) -> dict[str, Any]:
    """Pick what a reader looks at first; what was not measured is left out.

    `table1`: mean test accuracy in % by data set and method; starts and presets that are not the usual ones are part of the
    method's name. `greediness`: |E[d_util]| of the distinct pair, likewise. `speed_predicts_utilization`: Spearman's rank
    correlation of d_speed with d_util over the models of both pairs, by data set.
    """
    distinct = greediness[greediness["inputs"] == "distinct"]
    both = prediction[prediction["inputs"] == "both"]
    return {
        "table1": _nested(table1, _name(table1, "method"), "mean", digits=2),
        "greediness": _nested(distinct, _name(distinct, "policy"), "abs_d_util", digits=4),
        "speed_predicts_utilization": {
            name: round(value, 4)
            for name, value in zip(_name(both, "dataset"), both["spearman"], strict=True)
            if not math.isnan(value)
        },
    }


def learning_curves(runs: pd.DataFrame, histories: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Average the test accuracy of the runs of Table 1 over seeds: data set -> a row an epoch.

    In %, a column for each method, and for each uni-modal network by its inputs; the mean at an
    epoch is that of the runs that got there.
    """
    asked = of_experiment(runs, "table1")
    named = asked.assign(curve=_name(asked, "method"))
    unimodal = named["method"] == "unimodal"
    named.loc[unimodal, "curve"] += "-" + named.loc[unimodal, "inputs"]
    curves = histories[["run", "epoch", "test_accuracy"]].merge(
        named[["run", "dataset", "curve"]], on="run"
    )
    curves["test_accuracy"] *= 100
    return {
        dataset: curves[curves["dataset"] == dataset]
        .pivot_table("test_accuracy", "epoch", "curve", sort=False)
        .round(2)
        .reset_index()
        for dataset in dict.fromkeys(named["dataset"])
    }


def _name(table: pd.DataFrame, column: str) -> pd.Series:
    """The name in a column, with the start and preset that are not the usual ones."""
    name = table[column]
    for setting, usual in USUAL.items():
        if setting in table:
            name = name + ("-" + table[setting]).where(table[setting] != usual, "")
    return name


def _nested(
    table: pd.DataFrame, names: pd.Series, column: str, *, digits: int
) -> dict[str, dict[str, float]]:
    numbers: dict[str, dict[str, float]] = {}
    for dataset, name, value in zip(table["dataset"], names, table[column], strict=True):
        if not math.isnan(value):
            numbers.setdefault(dataset, {})[name] = round(value, digits)
    return numbers
