"""The L1 study: how sparse the penalty leaves a network, and how greedy."""

from typing import Any

import pandas as pd

from equimodal.study.analysis.collect import of_experiment, unfinished
from equimodal.study.analysis.statistics import mean_t_interval, present
from equimodal.study.params import Analysis

CELL = ["fidelity", "l1"]
SIZES = ("abs_d_util", "abs_d_speed")
MEASURES = ("d_util", "d_speed", *SIZES)


def build(runs: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Average the runs of each preset and factor `l1` of the penalty (Sec. 6.3).

    `below_<t>`: share of all parameters with an absolute value below t; `accuracy`: test accuracy of
    the prediction in percent; d_util, d_speed and the sizes of the two in each network, with t intervals.
    """
    study = with_sizes(of_experiment(runs, "l1"))
    thresholds = [column for column in runs if column.startswith("below_")]
    measures = [f"{m}{end}" for m in MEASURES for end in ("", "_low", "_high")]
    rows: list[dict[str, Any]] = []
    for cell, group in study.groupby(CELL):
        row = dict(zip(CELL, cell, strict=True)) | {"n": len(present(group["accuracy"]))}
        row["unfinished"] = unfinished(group)
        row |= group[thresholds].mean().to_dict()
        row["accuracy"] = 100 * group["accuracy"].mean()
        for measure in MEASURES:
            row |= mean_t_interval(group[measure], settings.confidence).named(measure)
        rows.append(row)
    return pd.DataFrame(
        rows, columns=[*CELL, "n", "unfinished", *thresholds, "accuracy", *measures]
    )


def with_sizes(runs: pd.DataFrame) -> pd.DataFrame:
    """Add |d_util| and |d_speed| of each run: the imbalance that Sec. 6.3 speaks of."""
    return runs.assign(abs_d_util=runs["d_util"].abs(), abs_d_speed=runs["d_speed"].abs())
