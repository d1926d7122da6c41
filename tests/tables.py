"""Made-up tables of the analysis, by name, as its verbs write them: every column, a few rows."""

import numpy as np
import pandas as pd

from equimodal.study.analysis.stored import columns_of

COLUMNS = [
    ("colored_mnist", "scratch"),
    ("modelnet40", "scratch"),
    ("nvgesture", "scratch"),
    ("nvgesture", "pretrained"),
]
DATASETS = ["colored_mnist", "modelnet40", "nvgesture"]
METHODS = {"unimodal": 70.0, "vanilla": 75.0, "rubi": 75.2, "random": 79.0, "guided": 80.0}


def made_up_tables():
    """Return tables in which every claim of the paper holds, but for one kind of number."""
    tables = {
        "table1": _table1(),
        "table1_evaluations": _table1_evaluations(),
        "comparisons": _comparisons(),
        "greediness": _greediness(),
        "prediction": _prediction(),
        "l1_trends": pd.DataFrame(
            [("paper", *pair, 30, 0.8, 0.6, 0.9, 0.001) for pair in TRENDS],
            columns=["fidelity", "x", "y", "n", "spearman", "low", "high", "p"],
        ),
        "sensitivity": _sensitivity(),
        "three_views": pd.DataFrame(
            [
                {"method": "vanilla", "n": 3, "unfinished": 0, "accuracy": 90.0, "sd": 0.2},
                {"method": "guided", "n": 3, "unfinished": 0, "accuracy": 92.0, "sd": 0.2}
                | {"difference": 2.0, "difference_low": 1.0, "difference_high": 3.0},
            ]
        ).assign(fidelity="paper"),
    }
    return {name: whole(name, table) for name, table in tables.items()}


def whole(name, table):
    """The table with every column that it has in its file; empty where none is given."""
    return table.reindex(columns=dict.fromkeys([*columns_of(name), *table]))


TRENDS = [("l1", "sparsity"), ("sparsity", "d_util"), ("sparsity", "d_speed")]
GREEDINESS = {"colored_mnist": 0.3, "modelnet40": -0.1, "nvgesture": 0.4}


def _table1():
    rows = []
    for dataset, start in COLUMNS:
        for method, mean in METHODS.items():
            mean = 95.0 if (dataset, method) == ("colored_mnist", "unimodal") else mean
            cell = {"dataset": dataset, "start": start, "fidelity": "paper", "method": method}
            ours = {"mean": mean, "sd": 0.3, "low": mean - 0.7, "high": mean + 0.7, "n": 3}
            published = {"published_mean": mean, "published_sd": 0.4, "difference": 0.0}
            interval = {"difference_low": -0.8, "difference_high": 0.8, "verdict": "equivalent"}
            inputs = "gray" if method == "unimodal" else "distinct"
            settings = {"inputs": inputs, "evaluation": "regular", "unfinished": 0}
            rows.append(cell | settings | ours | published | interval)
    return pd.DataFrame(rows)


def _table1_evaluations():
    fused = _table1().drop(columns="verdict").assign(output="fused")
    guided = fused[fused["method"] == "guided"]
    return pd.concat([fused, guided.assign(output="m1", mean=95.1)], ignore_index=True)


def _comparisons():
    rows = []
    for dataset, start in COLUMNS:
        for method in ("rubi", "random", "guided"):
            x = METHODS[method] - METHODS["vanilla"]
            cell = {"dataset": dataset, "start": start, "fidelity": "paper", "method": method}
            numbers = {"output": "fused", "n": 3, "difference": x, "low": x - 0.5, "high": x + 0.5}
            rows.append(cell | numbers | {"p": 0.01, "p_holm": 0.04, "detectable": 0.9})
    return pd.DataFrame(rows)


def _greediness():
    rows = []
    for dataset, value in GREEDINESS.items():
        for inputs in ("distinct", "identical"):
            for policy in ("vanilla", "random", "guided"):
                shrink = {"distinct": 1.0, "identical": 0.0}[inputs]
                x = value * shrink * (1.0 if policy == "vanilla" else 0.1)
                cell = {"dataset": dataset, "start": "scratch", "inputs": inputs, "policy": policy}
                numbers = {"d_util": x, "d_util_low": x - 0.02, "d_util_high": x + 0.02}
                rows.append(
                    cell
                    | {"fidelity": "paper", "n": 6, "unfinished": 0, "abs_d_util": abs(x)}
                    | numbers
                    | {"published_d_util": np.nan, "published_abs_d_util": abs(value) * shrink}
                )
    return pd.DataFrame(rows)


def _prediction():
    rows = [
        (dataset, "paper", inputs, 40, 0.7, 0.5, 0.8, 0.001, 0.9)
        for dataset in [*DATASETS, "all"]
        for inputs in ("distinct", "both")
    ]
    columns = "dataset fidelity inputs n spearman low high p sign_agreement"
    return pd.DataFrame(rows, columns=columns.split())


def _sensitivity():
    settings = [("tolerance", v) for v in (0.001, 0.003, 0.01, 0.03)]
    settings += [("window", v) for v in (1, 5, 20, 50)]
    return pd.DataFrame(
        [
            {
                "setting": s,
                "held": 1,
                "value": v,
                "n": 3,
                "unfinished": 0,
                "accuracy": 91.0,
                "sd": 0.2,
            }
            | {"low": 90.5, "high": 91.5, "d_util": 0.0, "d_util_low": -0.1, "d_util_high": 0.1}
            for s, v in settings
        ]
    ).assign(fidelity="paper")
