"""The L1 study: how sparse the penalty leaves a network, and how greedy."""

from typing import Any

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell
from equimodal.study.analysis.statistics import ends, mean_t_interval, present
from equimodal.study.params import Analysis

CELL = ["fidelity", "l1"]
SIZES = ("abs_d_util", "abs_d_speed")
MEASURES = ("d_util", "d_speed", *SIZES)


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Average the runs of each preset and factor `l1` of the penalty (Sec. 6.3)."""
    study = with_sizes(of_experiment(runs, "l1"))
    thresholds = [column for column in runs if column.startswith("below_")]
    rows: list[dict[str, Any]] = []
    for row, group in by_cell(study.sort_values(CELL), CELL):
        row |= {"n": len(present(group["accuracy"])), "accuracy": 100 * group["accuracy"].mean()}
        row |= group[thresholds].mean().to_dict()
        for measure in MEASURES:
            row |= mean_t_interval(group[measure], settings.confidence).named(measure)
        rows.append(row)
    columns = [*CELL, "n", "unfinished", *thresholds, "accuracy", *ends(*MEASURES)]
    return pd.DataFrame(rows, columns=columns)


def with_sizes(runs: pd.DataFrame) -> pd.DataFrame:
    """Add |d_util| and |d_speed| of each run: the imbalance that Sec. 6.3 speaks of."""
    return runs.assign(abs_d_util=runs["d_util"].abs(), abs_d_speed=runs["d_speed"].abs())
