"""Utilization and learning speeds of Table 1's networks, on both colorings of the held-out digits."""

import pandas as pd

from equimodal.study.analysis.collect import of_experiment
from equimodal.study.analysis.names import by_cell, in_order
from equimodal.study.analysis.statistics import ends, mean_t_interval, present
from equimodal.study.params import Analysis

CELL = ["dataset", "start", "fidelity", "method"]
MEASURES = ("d_util", "d_util_by_label", "d_speed", "d_speed_first")
COLUMNS = [*CELL, "n", "unfinished", *ends(*MEASURES)]


def build(runs: pd.DataFrame, histories: pd.DataFrame, settings: Analysis) -> pd.DataFrame:
    """Average d_util and d_speed of Table 1's networks of two branches over seeds; `n` have a d_util."""
    first = histories.reindex(columns=["run", "epoch", "speed_m0", "speed_m1"]).query("epoch == 1")
    speeds = first.assign(d_speed_first=first["speed_m0"] - first["speed_m1"])
    several = of_experiment(runs, "table1").query("method != 'unimodal'")
    several = several.merge(speeds[["run", "d_speed_first"]], on="run", how="left")
    rows = []
    for row, of_cell in by_cell(in_order(several, *CELL), CELL):
        row["n"] = len(present(of_cell["d_util"]))
        for measure in MEASURES:
            row |= mean_t_interval(of_cell[measure], settings.confidence).named(measure)
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)
